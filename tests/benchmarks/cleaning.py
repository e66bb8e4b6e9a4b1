"""What each step of cleaning costs and how it decides, beside datatrove's block on the same texts: a table.

In: the shared data sets; a Python with the peer, named by PEDIGREE_PEERS (``pip install datatrove spacy ftfy`` in a
virtual environment of its own; without it the peer's columns stay empty). Out: MB of UTF-8 per second of one core's
time, the best of interleaved rounds, and the share of equal decisions. In between: both sides get the same documents.

    python -m tests.benchmarks.cleaning
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from components.core import params
from components.core.documents import DOCUMENTS, Document, document_id
from components.core.personal import mask
from components.core.personal_kinds import KINDS
from components.preprocess import PreprocessConfig
from components.preprocess.cleaning import clean
from components.preprocess.language import identify
from components.preprocess.mojibake import repair
from components.preprocess.quality import judge_texts
from components.preprocess.text import normalise
from components.tokenizer.learning import learn
from tests.worlds import ROOT, SHARED_DATA

_ROUNDS = 2
_NOBODY = pl.DataFrame(schema={"doc_id": pl.String, "reason": pl.String, "detail": pl.String})


def main() -> None:
    """Print the table."""
    texts = _texts()
    column, steps = pa.array(texts, pa.large_string()), _steps()
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    for step in steps.values():
        step(column)  # compiled and loaded once, before the clock runs
    seconds, kept, theirs = dict.fromkeys(steps, 1e9), {}, dict[str, Any]()
    for _ in range(_ROUNDS):
        for name, step in steps.items():
            started = time.process_time()
            kept[name] = step(column)
            seconds[name] = min(seconds[name], time.process_time() - started)
        theirs = ask_peer(texts).get("blocks", {})
    print(f"{len(texts)} documents, {megabytes:.1f} MB: webtext, wikitext, stories")
    print(f"{'step':24} {'MB/s':>8} {'datatrove':>10} {'times':>7} {'equal decisions':>16}")
    for name, taken in seconds.items():
        peer = theirs.get(name)
        rate, equal = megabytes / taken, ""
        if peer and kept[name] is not None:
            equal = f"{100 * sum(a == b for a, b in zip(kept[name], peer[1], strict=True)) / len(texts):.2f} %"
        told = f"{megabytes / peer[0]:10.2f} {peer[0] / taken:7.0f}" if peer else f"{'':10} {'':7}"
        print(f"{name:24} {rate:8.1f} {told} {equal:>16}")


def _steps() -> dict[str, Callable[[pa.Array], list[bool] | None]]:
    values = params.load(ROOT / "infra" / "recipes" / "wikipedia.yaml")["preprocess"]
    rules = params.parse(values, PreprocessConfig, "wikipedia")
    families = ("gopher_repetition", "gopher_quality", "c4", "fineweb")

    def only(*wanted: str) -> PreprocessConfig:
        sections = {name: getattr(rules, name) for name in families}
        return rules.model_copy(
            update={name: s.model_copy(update={"enabled": name in wanted}) for name, s in sections.items()}
        )

    def judging(*wanted: str) -> Callable[[pa.Array], list[bool]]:
        settings = only(*wanted)
        return lambda texts: [reason is None for reason in judge_texts(texts, settings)[1].reasons]

    return {
        "NFC, control characters": lambda texts: _done(normalise(texts)),
        "mojibake": lambda texts: _done(repair(texts)),
        "personal data": lambda texts: _done(mask(texts, KINDS)),
        "language": lambda texts: _done(identify(texts, rules.language.prefix_bytes)),
        **{name: judging(name) for name in families},
        "all rules": judging(*families),
        "the whole pass": lambda texts: _done(clean(_documents(texts), _NOBODY, rules)),
    }


def _done(_result: object) -> None:
    """A step that changes texts and decides nothing."""


def _documents(texts: pa.Array) -> pa.Table:
    rows = [Document(document_id("s", str(n)), "", "s", str(n), "CC0", None, "{}") for n in range(len(texts))]
    table = pa.table([list(values) for values in zip(*rows, strict=True)], schema=DOCUMENTS)
    return table.set_column(1, DOCUMENTS.field("text"), texts)


def _texts() -> list[str]:
    """About two megabytes of documents of 2,500 characters, control characters gone on both sides."""
    with zipfile.ZipFile(SHARED_DATA / "webtext_noise_tune" / "webtext.zip") as archive:
        noise = [archive.read(name).decode("latin-1") for name in archive.namelist() if name.endswith(".txt")]
    prose = (SHARED_DATA / "wikitext2_valid" / "valid.txt").read_text(encoding="utf-8")
    stories = (SHARED_DATA / "tinystories_tune" / "stories.txt").read_text(encoding="utf-8").split("<|endoftext|>")
    cut = [text[i : i + 2500] for text in (*noise, prose) for i in range(0, len(text), 2500)]
    texts = [text for text in normalise(pa.array([*cut, *stories], pa.large_string())).to_pylist() if text.strip()]
    random.Random(1).shuffle(texts)
    return texts[::3]


def ask_peer(texts: list[str]) -> dict[str, Any]:
    """What ``datatrove_blocks.py`` says of these texts; nothing where no Python with datatrove is named."""
    python = os.environ.get("PEDIGREE_PEERS")
    if not python:
        print("PEDIGREE_PEERS names no Python with datatrove: its columns stay empty", file=sys.stderr)
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path, tokenizer = Path(folder, "texts.json"), Path(folder, "tokenizer.json")
        path.write_text(json.dumps(texts))
        tokenizer.write_text(learn([texts], 10_000, 2).to_str())
        command = [python, str(Path(__file__).with_name("datatrove_blocks.py")), str(path), str(tokenizer)]
        around = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, env=around)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
