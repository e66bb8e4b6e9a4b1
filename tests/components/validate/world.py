"""Tiny worlds for the three stages of validate: documents, a corpus, packed tokens; all of them sound.

``make_world(folder, stage)`` writes what ``stage`` checks; ``CONFIGS[stage]`` holds values under which it passes.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.documents import CORPUS, DOCUMENTS, document_id
from components.core.files import write_json
from components.core.tokens import LAYOUT, PACKED_DOCUMENTS, SPLITS, count_windows

CONFIGS: dict[str, dict[str, Any]] = {
    "validate@documents": {"min_documents": 50, "max_quarantined_share": 0.1},
    "validate@corpus": {"min_documents": 50, "max_quarantined_share": 0.1},
    "validate@tokens": {"min_entropy_bits": 4.0},
}
CONFIG = CONFIGS["validate@documents"]
VOCABULARY, CONTEXT, END_OF_TEXT = 64, 16, 0
Row = dict[str, Any]
_WORDS = ("the", "a", "of", "matrix", "array", "returns", "value", "number", "function", "given", "σ", "naïve", "sum")


def make_world(folder: Path, stage: str = "validate@documents") -> dict[str, Path]:
    """Write the input of ``stage`` into ``folder``; returns the inputs by name."""
    subject = folder / "subject"
    subject.mkdir(parents=True)
    if stage == "validate@tokens":
        write_tokens(subject, make_tokens())
    else:
        write_documents(subject, make_documents(100), has_split=stage == "validate@corpus")
    return {"subject": subject}


def make_documents(num: int) -> list[Row]:
    """``num`` sound documents, with a split each."""
    words = random.Random(1)
    rows = []
    for i in range(num):
        text = " ".join(words.choices(_WORDS, k=20)) + f", number {i}."
        rows.append({
            "doc_id": document_id("world", str(i)), "text": text, "source": f"source{i % 3}", "uri": f"world:{i}",
            "licence": "MIT", "language": None, "meta": "{}",
            "split": "validation" if i % 10 == 1 else "test" if i % 10 == 2 else "train",
        })  # fmt: skip
    return rows


def write_documents(folder: Path, rows: list[Row], *, has_split: bool = False) -> None:
    """Write document shards of 40 rows; a missing value is allowed, so that faults can be planted."""
    schema = pa.schema([field.with_nullable(True) for field in (CORPUS if has_split else DOCUMENTS)])
    table = pa.Table.from_pylist(rows, schema=schema)
    for shard in range(max(1, -(-table.num_rows // 40))):
        pq.write_table(table.slice(40 * shard, 40), folder / f"documents-{shard:05d}.parquet")


def make_tokens() -> dict[str, Row]:
    """Stream, offsets, table and layout of each split, all sound."""
    return {
        name: make_split(name, num, seed) for seed, (name, num) in enumerate(zip(SPLITS, (60, 20, 20), strict=True))
    }


def make_split(name: str, num: int, seed: int, repeat: int = 1) -> Row:
    """``num`` documents of 20 to 40 tokens (times ``repeat``), each token three bytes long."""
    draw = np.random.default_rng(seed)
    texts = [draw.integers(1, VOCABULARY, size=repeat * draw.integers(20, 41)) for _ in range(num)]
    stream = np.concatenate([np.append(text, END_OF_TEXT) for text in texts])
    lengths = [len(text) + 1 for text in texts]
    table = {
        "doc_id": [document_id(name, str(i)) for i in range(num)],
        "source": ["world"] * num,
        "language": [None] * num,
        "num_bytes": [3 * len(text) for text in texts],
        "num_tokens": lengths,
    }
    return {"stream": stream, "offsets": np.concatenate([[0], np.cumsum(lengths)]), "table": table}


def write_tokens(folder: Path, splits: dict[str, Row]) -> None:
    """Write what pack writes; the layout counts what is there."""
    layout = {}
    for name, split in splits.items():
        np.save(folder / f"{name}-00000.tokens.npy", split["stream"].astype("<u2"), allow_pickle=False)
        np.save(folder / f"{name}.offsets.npy", split["offsets"].astype("<i8"), allow_pickle=False)
        table = pa.table(split["table"], schema=PACKED_DOCUMENTS)
        pq.write_table(table, folder / f"{name}.documents.parquet")
        num, windows = len(split["stream"]), count_windows(len(split["stream"]), CONTEXT)
        layout[name] = {"tokens": num, "documents": len(split["offsets"]) - 1, "windows": windows}
    write_json(folder / LAYOUT, {
        "vocabulary_size": VOCABULARY, "context_tokens": CONTEXT, "shard_tokens": 1 << 28, "dtype": "uint16",
        "end_of_text": END_OF_TEXT,
        "splits": layout,
    })  # fmt: skip
