"""A tiny world for ``ingest``: a few notes in several formats, one of them faulty, and one small package."""

import gzip
from pathlib import Path
from typing import Any

from components.core.params import parse
from components.ingest import IngestConfig, resolve

CONFIG: dict[str, Any] = {
    "sources": [
        {"kind": "documentation", "packages": ["packaging"]},
        {"kind": "files", "name": "notes", "paths": ["notes/*"], "licence": "CC0-1.0"},
    ],
    "shard_documents": 50,
}


def make_world(folder: Path) -> dict[str, Path]:
    """Write the notes, pin them and the package; the only input is the lock."""
    notes = folder / "notes"
    notes.mkdir(parents=True)
    (notes / "letter.txt").write_text("Dear reader,\nthis is a letter.\n", encoding="utf-8")
    (notes / "lines.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    (notes / "packed.txt.gz").write_bytes(gzip.compress(b"packed text", mtime=0))
    (notes / "picture.txt").write_bytes(b"\x89PNG\r\n\0\0")
    lock = folder / "sources.lock.json"
    resolve(parse(CONFIG, IngestConfig, "world"), folder).save(lock)
    return {"sources": lock}
