"""A tiny world for ``preprocess``: sixty documents with copies, short ones and one in quarantine."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core import params
from components.core.documents import Document, DocumentWriter, document_id
from components.core.personal_kinds import KINDS
from tests.worlds import ROOT


def _rules() -> dict[str, Any]:
    """The rules for prose, with the papers' thresholds, switched off."""
    section = params.load(ROOT / "infra" / "recipes" / "debug.yaml")["preprocess"]
    return {name: section[name] for name in ("gopher_repetition", "gopher_quality", "c4", "fineweb")}


RULES = _rules()
CONFIG: dict[str, Any] = {
    "seed": 1, "min_characters": 10, "max_characters": 1000, "validation_share": 0.2, "test_share": 0.2,
    "shard_documents": 16, "repair_mojibake": True, "personal_data": list(KINDS),
    "language": {"enabled": False, "allowed": [], "prefix_bytes": 1024}, **RULES,
}  # fmt: skip


def document(position: str, text: str) -> Document:
    """A document of the source ``notes``."""
    return Document(document_id("notes", position), text, "notes", f"notes/{position}", "CC0-1.0", None, "{}")


def write_documents(folder: Path, rows: list[Document], shard_documents: int = 25) -> Path:
    """Write document shards as ``ingest`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    with DocumentWriter(folder, shard_documents) as writer:
        for row in rows:
            writer.add(row)
    return folder


def write_checks(folder: Path, quarantined: dict[str, str] | None = None) -> Path:
    """Write a quarantine table, ``doc_id`` to reason, as ``validate`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = quarantined or {}
    table = pa.table({"doc_id": pa.array(rows, pa.string()), "reason": pa.array(rows.values(), pa.string())})
    pq.write_table(table, folder / "quarantine.parquet")
    return folder


def make_world(folder: Path) -> dict[str, Path]:
    """Write the documents and the checks."""
    rows = [document(str(number), f"document number {number % 40} of this world") for number in range(55)]
    rows += [document(f"short {number}", "short") for number in range(5)]
    quarantined = {rows[3].doc_id: "too many digits"}
    return {
        "documents": write_documents(folder / "documents", rows),
        "checks": write_checks(folder / "checks", quarantined),
    }
