"""What the data engine costs, step by step, and from text to packed tokens: ``python -m tests.benchmarks.data_engine``.

In: the real texts of the shared data, repeated with words swapped until there are ``--megabytes`` of them. Out: tables
on standard output. In between: every step works on the same row groups; MB are 10^6 bytes of UTF-8; the library's
encoder is measured beside ours on the same texts, in turn. CPU seconds stand beside wall seconds, since others may
be at work.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
from tests.components.preprocess.world import write_checks
from tests.worlds import ROOT, SHARED_DATA

_ROUNDS = 3
_TEXTS = ("tinystories_tune/stories.txt", "wikitext2_valid/valid.txt", "neardup_tune/articles_1000.train")


def main() -> None:
    """Print every figure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=int, default=40)
    options.add_argument("--documents", type=int, default=0, help="validate so many documents instead")
    chosen = options.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as name:
        if chosen.documents:
            _validate(Path(name), chosen.documents)
        else:
            folder = _write(Path(name), chosen.megabytes)
            _steps(folder)
            _chain(folder)


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
    texts, draw, size, number = real_texts(), random.Random(1), 0, 0
    while size < megabytes * 10**6:
        text = texts[number % len(texts)]
        if number >= len(texts):
            words = text.split(" ")
            text = " ".join(draw.choice(words) if draw.random() < 0.1 else word for word in words)
        size, number = size + len(text.encode()), number + 1
        yield text


def _write(folder: Path, megabytes: int) -> Path:
    (folder / "documents").mkdir()
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


def _chain(folder: Path) -> None:
    """Text to packed tokens, near-copies and held-out overlap included, by one worker and by two."""
    columns = [table["text"] for table in read_row_groups(folder / "documents", ["text"])]
    megabytes = sum(column.nbytes for column in columns) / 1e6
    texts = [text for column in columns for text in column.to_pylist()[:500]]
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text(learn([texts], 10_000, 2).to_str())
    print(f"{'text to packed tokens':32} {'wall seconds':>18} {'MB/s':>8}")
    for count in (1, 2, 1, 2):
        seconds = [_time(lambda part=part, count=count: part(folder, Crew(count)))[1] for part in (_preprocess, _pack)]
        print(f"{count} worker(s)  preprocess {seconds[0]:6.1f}  pack {seconds[1]:6.1f} {sum(seconds):9.1f} "
              f"{megabytes / sum(seconds):8.1f}")  # fmt: skip


def _preprocess(folder: Path, crew: Crew) -> None:
    output = Path(tempfile.mkdtemp(dir=folder))
    preprocess(_config(), documents=folder / "documents", checks=folder / "checks", output=output, crew=crew)
    (folder / "corpus").unlink(missing_ok=True)
    (folder / "corpus").symlink_to(output)


def _pack(folder: Path, crew: Crew) -> None:
    places = {name: folder / name for name in ("corpus", "checks", "tokenizer")}
    pack(PackConfig(context_tokens=512), **places, output=Path(tempfile.mkdtemp(dir=folder)), crew=crew)


def _validate(folder: Path, num_documents: int) -> None:
    """So many documents of about a thousand characters; peak memory is that of this process."""
    import resource

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
    values = load(ROOT / "params.yaml")["preprocess"]
    return parse({**values, "shard_documents": 2500}, PreprocessConfig, "benchmark")


def _time(step: Callable[[], Any]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
