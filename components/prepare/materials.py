"""What examples are made of, as applications take it.

In: the corpus and the collected records. Out: materials, in an order of their own identity. In between: documents that
the checks set aside make no examples; columns of records get the names of the application's fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

import polars as pl

from components.applications import Material
from components.core.collected import read_records
from components.core.documents import list_shards
from components.core.quarantine import read_quarantine


def of_corpus(corpus: Path, checks: Path) -> list[Material]:
    """A material for each document that passed the checks; its fields are its text and what its source knows of it."""
    shards = pl.read_parquet(list_shards(corpus))
    rows = shards.filter(~pl.col("doc_id").is_in(sorted(read_quarantine(checks)))).sort("doc_id")
    return [
        Material(
            row["doc_id"], {**json.loads(row["meta"]), "source": row["source"], "text": row["text"]},
            row["source"], row["licence"], row["language"], row["split"],
        )
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip


def of_collected(collected: Path, application: str, columns: Mapping[str, str]) -> list[Material]:
    """A material for each record of the application, in the order in which they were read.

    ``columns`` names the column of a field, or says in a text with ``{column}`` how several become one.
    """
    return [
        Material(
            row["record_id"], _renamed(json.loads(row["text"]), columns),
            row["source"], row["licence"], row["language"], row["split"],
        )
        for row in read_records(collected, application).to_pylist()
    ]  # fmt: skip


def _renamed(fields: Mapping[str, object], columns: Mapping[str, str]) -> dict[str, object]:
    renamed = dict(fields)
    for field, column in columns.items():
        wanted = [name for _, name, _, _ in Formatter().parse(column) if name] or [column]
        if all(name in fields for name in wanted):
            renamed[field] = column.format_map(fields) if "{" in column else fields[column]
    return renamed
