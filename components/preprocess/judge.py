"""Which documents are dropped, and why.

In: a table of documents. Out: the table with normalised texts and the columns ``digest`` (null when dropped),
``reason`` and ``detail`` (null when kept). In between: a document is dropped for the first reason that holds, in
the order quarantined, too_short, too_long, duplicate.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from components.core.errors import InputError
from components.core.quarantine import FILE
from components.preprocess.config import PreprocessConfig
from components.preprocess.text import digest, normalise

_QUARANTINE = {"doc_id": pl.String, "reason": pl.String}


def read_reasons(checks: Path) -> pl.DataFrame:
    """What the checks set aside, one row per document: ``doc_id``, ``reason`` (the first of them), ``detail`` (all).

    Raises InputError when the checks left no such table.
    """
    path = checks / FILE
    try:
        rows = pl.read_parquet(path, columns=list(_QUARANTINE)).cast(_QUARANTINE)  # type: ignore[arg-type]
    except (OSError, pl.exceptions.PolarsError) as error:
        fix = "run the checks again: `pedigree run`"
        raise InputError(str(path), found=str(error), expected="columns doc_id and reason", fix=fix) from None
    reasons = pl.col("reason").unique().sort()
    return rows.group_by("doc_id").agg(
        reason=reasons.first(), detail=pl.lit("quarantined by the checks: ") + reasons.str.join(", ")
    )


def judge(documents: pl.DataFrame, quarantine: pl.DataFrame, config: PreprocessConfig) -> pl.DataFrame:
    """Normalise the texts and judge each document by itself; the order of the rows stays."""
    judged = documents.with_columns(text=normalise(pl.col("text"))).join(
        quarantine, on="doc_id", how="left", maintain_order="left"
    )
    length = pl.col("text").str.len_chars()
    judged = _drop(judged, "too_short", length < config.min_characters,
                   pl.format("{} characters, at least {}", length, config.min_characters))  # fmt: skip
    judged = _drop(judged, "too_long", length > config.max_characters,
                   pl.format("{} characters, at most {}", length, config.max_characters))  # fmt: skip
    kept_texts = judged.select(pl.when(pl.col("reason").is_null()).then(pl.col("text")).alias("text"))
    return judged.with_columns(digest(kept_texts["text"]))


def refuse_unknown(quarantine: pl.DataFrame, documents: pl.DataFrame, checks: Path) -> None:
    """Raises InputError when the checks speak of a document that is not there: they are those of another corpus."""
    unknown = quarantine.join(documents, on="doc_id", how="anti")["doc_id"].sort()
    if len(unknown):
        raise InputError(
            str(checks / FILE),
            found=f"{len(unknown)} documents that are not in the input, the first {unknown[0]}",
            expected="checks of these documents",
            fix="run the checks again: `pedigree run`",
        )


def first_copies(index: pl.DataFrame) -> pl.DataFrame:
    """The smallest ``doc_id`` of each ``digest`` as ``first``: the copy to keep, whatever the order of the rows."""
    return index.drop_nulls("digest").group_by("digest").agg(first=pl.col("doc_id").min())


def drop_duplicates(judged: pl.DataFrame, firsts: pl.DataFrame) -> pl.DataFrame:
    """Drop every document of whose text another copy is kept."""
    judged = judged.join(firsts, on="digest", how="left", maintain_order="left")
    is_copy = pl.col("first").is_not_null() & (pl.col("doc_id") != pl.col("first"))
    return _drop(judged, "duplicate", is_copy, pl.format("the text of {}, which is kept", pl.col("first")))


def _drop(judged: pl.DataFrame, reason: str, fails: pl.Expr, detail: pl.Expr) -> pl.DataFrame:
    """Drop the rows for which ``fails`` holds and that have not been dropped before."""
    falls = pl.col("reason").is_null() & fails
    return judged.with_columns(
        reason=pl.when(falls).then(pl.lit(reason)).otherwise("reason"),
        detail=pl.when(falls).then(detail).otherwise("detail"),
    )
