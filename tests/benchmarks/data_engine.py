"""What the data engine costs, step by step, and from text to packed tokens: ``python -m tests.benchmarks.data_engine``.

In: the real texts of the shared data, repeated with words swapped until there are ``--megabytes`` of them. Out: tables
on standard output. In between: every step works on the same row groups, with every rule of the recipe for Wikipedia
switched on; MB are 10^6 bytes of UTF-8. The library's encoder is measured beside ours on the same texts, in turn, and
datatrove's blocks on the first megabyte of them where PEDIGREE_PEERS names a Python that has it. CPU seconds stand
beside wall seconds, since others may be at work; peak memory is that of each process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import pyarrow as pa

from components.core.crew import Crew
from components.core.documents import DOCUMENTS, Document, DocumentWriter, document_id, read_row_groups
from components.core.params import load, parse
from components.pack import PackConfig, pack
from components.preprocess import PreprocessConfig, preprocess
from components.preprocess.cleaning import clean
from components.preprocess.quarantine import read_reasons
from components.preprocess.signatures import collect_grams, count_hits, make_table, read_words, sign
from components.tokenizer.codec import Codec
from components.tokenizer.encoder import Encoder
from components.tokenizer.learning import learn
from components.validate import DocumentsConfig, validate_documents
from tests.benchmarks.cleaning import ask_peer
from tests.components.preprocess.world import write_checks
from tests.worlds import ROOT, SHARED_DATA

_ROUNDS = 3
_TEXTS = ("tinystories_tune/stories.txt", "wikitext2_valid/valid.txt", "neardup_tune/articles_1000.train")


def main() -> None:
    """Print every figure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=int, default=40)
    options.add_argument("--chain", action="store_true", help="only the whole chain")
    options.add_argument("--workers", type=int, nargs="*", default=[1, 2, 1, 2], help="of the chain, in turn")
    options.add_argument("--documents", type=int, default=0, help="validate so many documents instead")
    chosen = options.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as name:
        if chosen.documents:
            _validate(Path(name), chosen.documents)
        else:
            folder = _write(Path(name), chosen.megabytes)
            if not chosen.chain:
                _steps(folder)
            _chain(folder, chosen.workers)


def real_texts() -> list[str]:
    """Paragraphs of real English, 200 to 20,000 characters each."""
    found = []
    for name in _TEXTS:
        text = (SHARED_DATA / name).read_text(encoding="utf-8")
        mark = "<|endoftext|>" if "<|endoftext|>" in text else "\n = " if "\n = " in text else "\n"
        found += [part.strip() for part in text.split(mark) if 200 < len(part) < 20_000]
    return found


def perturbed(megabytes: int) -> Iterator[str]:
    """Real texts, and then the same with every tenth word another one of theirs."""
    texts, draw, size, number = real_texts(), np.random.default_rng(1), 0, 0
    words = [np.array(text.split(" "), object) for text in texts]
    while size < megabytes * 10**6:
        text = texts[number % len(texts)]
        if number >= len(texts):
            swapped = words[number % len(texts)].copy()
            places = draw.integers(len(swapped), size=(2, 1 + len(swapped) // 10))
            swapped[places[0]] = swapped[places[1]]
            text = " ".join(swapped)
        size, number = size + len(text.encode()), number + 1
        yield text


def _write(folder: Path, megabytes: int) -> Path:
    (folder / "documents").mkdir(parents=True)
    with DocumentWriter(folder / "documents", 2500, DOCUMENTS) as writer:
        for number, text in enumerate(perturbed(megabytes)):
            writer.add(Document(document_id("b", str(number)), text, "bench", f"b/{number}", "CC0-1.0", None, "{}"))
    write_checks(folder / "checks")
    return folder


def _steps(folder: Path) -> None:
    tables = list(read_row_groups(folder / "documents"))
    texts = pa.chunked_array([chunk for table in tables for chunk in table["text"].chunks])
    column = texts.combine_chunks()
    some = column.slice(0, 2000).to_pylist()
    megabytes, quarantine, config = column.nbytes / 1e6, read_reasons(folder / "checks"), _config()
    codec = Codec(learn([some], 10_000, 2))
    encoder, words = Encoder(codec, "<u2"), read_words(texts)
    table = make_table(collect_grams(words, 13))
    steps: dict[str, tuple[float, Callable[[], Any]]] = {
        "clean": (megabytes, lambda: [clean(group, quarantine, config) for group in tables]),
        "words and MinHash signatures": (megabytes, lambda: sign(read_words(texts), 112, 5)),
        "13-grams looked up": (megabytes, lambda: count_hits(read_words(texts), 13, table)),
        "encode": (megabytes, lambda: encoder.encode(column)),
        "encode, the library": (sum(map(len, some)) / 1e6, lambda: codec.encode_all(some)),
    }
    print(f"{'step':32} {'MB per CPU second':>18} {'wall':>8}   of {megabytes:.0f} MB, best of {_ROUNDS}")
    best = {name: (float("inf"), float("inf")) for name in steps}
    for _ in range(_ROUNDS):
        for name, (_, step) in steps.items():
            best[name] = min(best[name], _time(step))
    for name, (size, _) in steps.items():
        print(f"{name:32} {size / best[name][0]:18.1f} {size / best[name][1]:8.1f}")


def _chain(folder: Path, workers: list[int]) -> None:
    """Text to packed tokens, near-copies and held-out overlap included; compiled once, before the clock runs."""
    texts, megabytes = _sample(folder, 2_000_000), _megabytes(folder)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text(learn([texts], 10_000, 2).to_str())
    warm = _write(folder / "warm", 1)
    (warm / "tokenizer").symlink_to(folder / "tokenizer")
    _preprocess(warm, Crew(1))
    _pack(warm, Crew(1))
    print(f"text to packed tokens, {megabytes:.0f} MB, all rules on")
    for count in workers:
        with _Memory() as memory:
            times = [_time_of_all(partial(part, folder, Crew(count))) for part in (_preprocess, _pack)]
        (_, clean), (_, packed) = times
        cpu, wall = times[0][0] + times[1][0], clean + packed
        print(f"{count} worker(s): preprocess {clean:.1f} s, pack {packed:.1f} s, {megabytes / wall:.1f} MB/s, "
              f"{megabytes / cpu:.1f} MB per CPU second, "
              f"peak {memory.here:.2f} GB here, {memory.worker:.2f} GB of a worker", flush=True)  # fmt: skip
    print(f"kept and dropped: {(folder / 'report.json').read_text()}")
    texts = _sample(folder, 1_000_000)
    if seconds := ask_peer(texts).get("pipeline"):
        rate = sum(len(text.encode()) for text in texts) / 1e6 / seconds
        print(f"datatrove's blocks, without a filter for languages: {rate:.3f} MB per CPU second; "
              f"ours {megabytes / cpu / rate:.0f} times")  # fmt: skip


def _sample(folder: Path, num_bytes: int) -> list[str]:
    texts, size = list[str](), 0
    for table in read_row_groups(folder / "documents", ["text"]):
        for text in table["text"].to_pylist():
            if size >= num_bytes:
                return texts
            texts, size = [*texts, text], size + len(text.encode())
    return texts


def _megabytes(folder: Path) -> float:
    return sum(table["text"].nbytes for table in read_row_groups(folder / "documents", ["text"])) / 1e6


class _Memory(threading.Thread):
    """Watches how much memory this process and each of its workers have at most held, in GB.

    What the kernel tells of a child that ended begins with what its parent held when it was born.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.here, self.worker, self._is_over = 0.0, 0.0, threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.1):
            self.here = max(self.here, _resident(psutil.Process()))
            self.worker = max([self.worker, *map(_resident, psutil.Process().children(recursive=True))])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()


def _resident(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return float(process.memory_info().rss) / 1e9
    return 0.0


def _preprocess(folder: Path, crew: Crew) -> None:
    output = Path(tempfile.mkdtemp(dir=folder))
    report = preprocess(_config(), documents=folder / "documents", checks=folder / "checks", output=output, crew=crew)
    (folder / "report.json").write_text(json.dumps(report.as_json()))
    (folder / "corpus").unlink(missing_ok=True)
    (folder / "corpus").symlink_to(output)


def _pack(folder: Path, crew: Crew) -> None:
    places = {name: folder / name for name in ("corpus", "checks", "tokenizer")}
    pack(PackConfig(context_tokens=512), **places, output=Path(tempfile.mkdtemp(dir=folder)), crew=crew)


def _validate(folder: Path, num_documents: int) -> None:
    """So many documents of about a thousand characters; peak memory is that of this process."""
    (folder / "documents").mkdir()
    (folder / "out").mkdir()
    texts = [text[:1000] for text in real_texts()]
    with DocumentWriter(folder / "documents", 100_000, DOCUMENTS) as writer:
        for n in range(num_documents):
            text = f"{n} {texts[n % len(texts)]}"
            writer.add(Document(document_id("b", str(n)), text, "bench", f"b/{n}", "CC0-1.0", None, "{}"))
    config = parse({"max_repeated_share": 1.0}, DocumentsConfig, "benchmark")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = _time(lambda: validate_documents(config, subject=folder / "documents", output=folder / "out"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{num_documents:,} documents validated: {wall:.1f} s wall, {cpu:.1f} s CPU, "
          f"peak {peak / 1e6:.2f} GB ({before / 1e6:.2f} GB after writing them)")  # fmt: skip


def _config() -> PreprocessConfig:
    values = load(ROOT / "infra" / "recipes" / "wikipedia.yaml")["preprocess"]
    return parse({**values, "shard_documents": 2500}, PreprocessConfig, "benchmark")


def _time(step: Callable[[], Any]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    return time.process_time() - cpu, time.perf_counter() - wall


def _time_of_all(step: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds of this process and of the workers that it waited for, and wall seconds."""
    before, wall = os.times(), time.perf_counter()
    step()
    after = os.times()
    return sum(after[:4]) - sum(before[:4]), time.perf_counter() - wall


if __name__ == "__main__":
    main()
