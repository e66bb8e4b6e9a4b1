"""A tiny world for ``pack``: a corpus of sentences, its tokenizer, checks that set one document aside."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.documents import document_id
from tests.components.tokenizer.world import make_rows, write_corpus

CONFIG: dict[str, Any] = {"context_tokens": 16, "shard_tokens": 1 << 20}


def write_checks(folder: Path, *doc_ids: str) -> Path:
    """Write a quarantine as ``validate`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    reasons = ["too short"] * len(doc_ids)
    table = pa.table({"doc_id": pa.array(doc_ids, pa.string()), "reason": pa.array(reasons, pa.string())})
    pq.write_table(table, folder / "quarantine.parquet")
    return folder


def write_tokenizer(folder: Path, rows: list[tuple[str, str]], vocabulary_size: int = 300) -> Path:
    """Write a tokenizer learned from the texts of ``rows``."""
    from components.tokenizer.learning import learn

    folder.mkdir(parents=True, exist_ok=True)
    learned = learn([[text for _, text in rows]], vocabulary_size, 2)
    (folder / "tokenizer.json").write_text(learned.to_str(), encoding="utf-8")
    return folder


def make_world(folder: Path) -> dict[str, Path]:
    """Write the three inputs; the document at position 4 is in quarantine."""
    rows = make_rows()
    return {
        "corpus": write_corpus(folder / "corpus", rows),
        "checks": write_checks(folder / "checks", document_id("notes", "4")),
        "tokenizer": write_tokenizer(folder / "tokenizer", rows),
    }
