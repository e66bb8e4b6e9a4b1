"""How fast each reader turns a source into text, beside the library that others use, on one core.

    python -m tests.benchmarks.ingest [rounds]

Every reader and its peer read the same real data, taking turns in one process, so that whatever else the machine does
falls on both; processor time decides. The peers are the dependency group ``peers``; one that is not installed is left
out. Speeds are MB of the uncompressed source for one second of a core; HTML has its F1 over 4-gram shingles besides.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from components.ingest.config import FilesSource
from components.ingest.html import extract_main_text
from components.ingest.limits import Limits
from components.ingest.readers import read_stream
from components.ingest.wikitext import extract_prose
from tests.worlds import SHARED_DATA

DUMP = SHARED_DATA / "wikidump_tune" / "enwiki-pages-articles1-shortened.xml.bz2"
PAGES, CRAWL = SHARED_DATA / "htmlextract_tune", SHARED_DATA / "warc_tune" / "dolma-sample-0000.warc.gz"
STORIES = SHARED_DATA / "tinystories_tune" / "stories.txt"
LIMITS, SOURCE = Limits(16 << 20, 1 << 33), FilesSource(kind="files", name="s", paths=("*",), licence="x")
Work = Callable[[], object]


def main(rounds: int) -> None:
    """Print one line for each reader."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    plain = bz2.decompress(DUMP.read_bytes())
    wikitexts = [
        ElementTree.fromstring(page).findtext("revision/text", "")
        for page in re.findall(rb"<page>.*?</page>", plain, re.DOTALL)
    ]
    html = {
        path.name.partition(".")[0]: gzip.decompress(path.read_bytes()) for path in sorted((PAGES / "html").iterdir())
    }
    texts = [page.decode("utf-8", "replace") for page in html.values()]
    stories = STORIES.read_bytes().decode().split("<|endoftext|>")
    jsonl = "\n".join(json.dumps({"text": story}) for story in stories).encode()
    compare("dump .xml.bz2 to text", len(plain), rounds, reading(DUMP.name, DUMP.read_bytes()))
    compare("dump .xml to text", len(plain), rounds, reading("d.xml", plain))
    size = sum(len(text.encode()) for text in wikitexts)
    compare("wikitext to text", size, rounds, lambda: [*map(extract_prose, wikitexts)], mwparserfromhell(wikitexts))
    size = sum(map(len, html.values()))
    compare("HTML to main text", size, rounds, lambda: [*map(extract_main_text, texts)], trafilatura(texts))
    compare(
        "WARC to main text", len(gzip.decompress(CRAWL.read_bytes())), rounds, reading(CRAWL.name, CRAWL.read_bytes())
    )
    for name, data in {"a.jsonl": jsonl, "a.csv": as_csv(stories), "a.txt": STORIES.read_bytes()}.items():
        compare(f"{name[1:]} to text", len(data), rounds, reading(name, data))
        compare(f"{name[1:]}.gz to text", len(data), rounds, reading(name + ".gz", gzip.compress(data)))
    compare(".parquet to text", len(jsonl), rounds, reading("a.parquet", as_parquet(stories)))
    print_f1(html)


def reading(name: str, data: bytes) -> Work:
    """Reading a file of these bytes to its end."""
    return lambda: [*read_stream(io.BytesIO(data), name, SOURCE, LIMITS)]


def compare(name: str, num_bytes: int, rounds: int, ours: Work, peer: tuple[str, Work] | None = None) -> None:
    """Print the best speed of both, a round of each after the other."""
    seconds, peer_seconds = [], []
    for _ in range(rounds):
        seconds.append(measure(ours))
        if peer:
            peer_seconds.append(measure(peer[1]))
    speed = num_bytes / 1e6 / min(seconds)
    beside = ""
    if peer:
        other = num_bytes / 1e6 / min(peer_seconds)
        beside = f"   {peer[0]} {other:7.2f} MB/s   {speed / other:6.1f} times"
    print(f"{name:24s} {num_bytes / 1e6:6.1f} MB {speed:7.1f} MB/s{beside}", flush=True)


def measure(work: Work) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def mwparserfromhell(wikitexts: list[str]) -> tuple[str, Work] | None:
    """The peer for wikitext, on as much of it as takes seconds."""
    if not find_spec("mwparserfromhell"):
        return None
    import mwparserfromhell as peer

    return "mwparserfromhell", lambda: [peer.parse(text).strip_code() for text in wikitexts]


def trafilatura(texts: list[str]) -> tuple[str, Work] | None:
    """The peer for HTML."""
    if not find_spec("trafilatura"):
        return None
    import trafilatura as peer

    return "trafilatura", lambda: [peer.extract(text, include_comments=False) for text in texts]


def as_csv(stories: list[str]) -> bytes:
    quoted = (story.replace('"', '""') for story in stories)
    return ("text\n" + "".join(f'"{story}"\n' for story in quoted)).encode()


def as_parquet(stories: list[str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.table({"text": stories}), Path(folder) / "a", compression="zstd")
        return (Path(folder) / "a").read_bytes()


def print_f1(html: dict[str, bytes]) -> None:
    """F1 of the main text against what people marked, as the article extraction benchmark counts."""
    truth = {
        name: entry["articleBody"] for name, entry in json.loads((PAGES / "ground-truth.json").read_text()).items()
    }
    found = {name: read_stream(io.BytesIO(html[name]), "a.html", SOURCE, LIMITS) for name in truth}
    ours = print_score("ours", {name: next(items).text for name, items in found.items()}, truth)
    if find_spec("trafilatura"):
        import trafilatura as peer

        texts = {name: peer.extract(html[name], include_comments=False) or "" for name in truth}
        theirs = print_score("trafilatura", texts, truth)
        draws = np.random.default_rng(1).integers(len(truth), size=(2000, len(truth)))
        low, high = np.quantile([f1(ours[draw]) - f1(theirs[draw]) for draw in draws], [0.025, 0.975])
        print(f"HTML, ours - trafilatura    F1 {f1(ours) - f1(theirs):+.3f}, 95 % interval {low:+.3f} to {high:+.3f}")


def print_score(name: str, found: dict[str, str], truth: dict[str, str]) -> NDArray[np.float64]:
    """Print F1, precision and recall; returns of each page the share that is common, too much and missed."""
    shares = []
    for page, body in truth.items():
        ours, theirs = shingles(found[page]), shingles(body)
        common = (ours & theirs).total()
        union = ours.total() + theirs.total() - common
        shares.append((common / union, (ours.total() - common) / union, (theirs.total() - common) / union))
    hits, extra, missed = np.sum(shares, axis=0)
    precision, recall = hits / (hits + extra), hits / (hits + missed)
    print(f"HTML, {name:20s} F1 {f1(np.array(shares)):.3f}   precision {precision:.3f}   recall {recall:.3f}")
    return np.array(shares)


def f1(shares: NDArray[np.float64]) -> float:
    """F1 of what ``print_score`` gives for some pages."""
    hits, extra, missed = shares.sum(axis=0)
    return float(2 * hits / (2 * hits + extra + missed))


def shingles(text: str) -> Counter[tuple[str, ...]]:
    tokens = re.findall(r"\w+", text)
    return Counter(tuple(tokens[at : at + 4]) for at in range(max(1, len(tokens) - 3)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
