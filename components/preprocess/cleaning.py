"""What happens to documents that can be judged one by one: the unit of work is a row group.

In: a table of documents (schema ``DOCUMENTS``). Out: those that are kept, with their texts mended, and the rejects
(schema ``REJECTS_SCHEMA``), both in the order of the input. In between: ``clean`` is a pure function of its
arguments, so row groups may be cleaned anywhere and in any order; a document is dropped for the first reason that
holds, and the two tables together hold every document once.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl
import pyarrow as pa

from components.core.documents import DOCUMENTS, REJECTS_SCHEMA
from components.preprocess.config import PreprocessConfig
from components.preprocess.text import normalise


class Cleaned(NamedTuple):
    """One row group after cleaning: kept documents, and dropped ones with their reason."""

    kept: pa.Table
    rejects: pa.Table


def clean(documents: pa.Table, quarantine: pl.DataFrame, config: PreprocessConfig) -> Cleaned:
    """Mend the texts, then judge each document by itself; ``quarantine`` is what ``read_reasons`` gives."""
    frame = pl.DataFrame(pl.from_arrow(documents)).with_columns(text=normalise(pl.col("text")))
    judged = frame.join(quarantine, on="doc_id", how="left", maintain_order="left")
    length = pl.col("text").str.len_chars()
    judged = _drop(judged, "too_short", length < config.min_characters,
                   pl.format("{} characters, at least {}", length, config.min_characters))  # fmt: skip
    judged = _drop(judged, "too_long", length > config.max_characters,
                   pl.format("{} characters, at most {}", length, config.max_characters))  # fmt: skip
    is_kept = pl.col("reason").is_null()
    return Cleaned(_table(judged.filter(is_kept), DOCUMENTS), _table(judged.filter(~is_kept), REJECTS_SCHEMA))


def _drop(judged: pl.DataFrame, reason: str, fails: pl.Expr, detail: pl.Expr) -> pl.DataFrame:
    """Drop the rows for which ``fails`` holds and that have not been dropped before."""
    falls = pl.col("reason").is_null() & fails
    return judged.with_columns(
        reason=pl.when(falls).then(pl.lit(reason)).otherwise("reason"),
        detail=pl.when(falls).then(detail).otherwise("detail"),
    )


def _table(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
