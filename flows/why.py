"""`pedigree why`: what happened to a document on its way into the corpus, and which rule decided, with value and limit.

In: a document by its identity, the beginning of one, or its address; the results in ``data``. Out: a line per stage
that met it. In between: nothing runs, and every file is checked against its record before it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from components.core.documents import REJECTS
from components.core.errors import InputError
from components.core.quarantine import FILE as QUARANTINE
from components.core.records import verify

DATA = Path("data")
_SHORTEST = 8
# The stages that judge documents one by one, in the order in which they meet them.
_STAGES = ("ingest", "validate/documents", "preprocess", "validate/corpus", "pack")


def why(what: str) -> int:
    """Print what became of every document that ``what`` names; returns 0. Raises InputError when none is known."""
    folders = {stage: DATA / stage for stage in _STAGES if (DATA / stage).exists()}
    for folder in folders.values():
        verify(folder)
    found = dict(_documents(folders, what))
    if not found:
        raise InputError(
            what, found="no document of that name in data", expected=f"a doc_id, {_SHORTEST} digits of one, or a uri",
            fix="look into data/ingest, or run `pedigree run` first",
        )  # fmt: skip
    for doc_id, uri in found.items():
        print(f"{doc_id}  {uri}")
        for line in _story(folders, doc_id):
            print(f"  {line}")
    return 0


def _documents(folders: dict[str, Path], what: str) -> Iterator[tuple[str, str]]:
    """Identity and address of every document that ``what`` names, dropped ones included."""
    named = (pl.col("doc_id") == what) | (pl.col("uri") == what)
    if len(what) >= _SHORTEST:
        named |= pl.col("doc_id").str.starts_with(what)
    for folder in (folders[stage] for stage in ("ingest", "preprocess") if stage in folders):
        for path in [*sorted(folder.glob("documents-*.parquet")), folder / REJECTS]:
            yield from pl.scan_parquet(path).filter(named).select("doc_id", "uri").collect().iter_rows()


def _story(folders: dict[str, Path], doc_id: str) -> Iterator[str]:
    for stage, folder in folders.items():
        yield from (f"{stage:20} {words}" for words in _met(folder, doc_id))


def _met(folder: Path, doc_id: str) -> Iterator[str]:
    """What a stage did with the document; nothing where it never met it."""
    for row in _rows(folder / REJECTS, doc_id):
        yield f"dropped, {row['reason']}: {row['detail']}"
    for row in _rows(folder / QUARANTINE, doc_id):
        yield f"set aside by the check {row['reason']}"
    for path in sorted(folder.glob("documents-*.parquet")):
        for row in _rows(path, doc_id):
            split = f" for {row['split']}" if "split" in row else ""
            yield f"kept{split}, source {row['source']}, language {row['language'] or 'not known'}, {row['licence']}"
    for path in sorted(folder.glob("*.documents.parquet")):
        for row in _rows(path, doc_id):
            yield f"{row['num_tokens']:,} tokens of {path.name.partition('.')[0]}"


def _rows(path: Path, doc_id: str) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    frame = pl.scan_parquet(path).filter(pl.col("doc_id") == doc_id).select(pl.exclude("text"))
    return frame.collect().to_dicts()
