"""What the checks set aside, read so that each such document is dropped for a reason.

In: the folder of a validation. Out: one row per document: ``doc_id``, ``reason``, ``detail``. In between: checks
that speak of documents which are not there are those of another corpus, and are refused.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from components.core.errors import InputError
from components.core.quarantine import FILE

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


def refuse_unknown(quarantine: pl.DataFrame, seen: pl.Series, checks: Path) -> None:
    """Raises InputError when the checks speak of a document that is not among the ``seen`` identities."""
    unknown = quarantine.filter(~pl.col("doc_id").is_in(seen.implode()))["doc_id"].sort()
    if len(unknown):
        raise InputError(
            str(checks / FILE),
            found=f"{len(unknown)} documents that are not in the input, the first {unknown[0]}",
            expected="checks of these documents",
            fix="run the checks again: `pedigree run`",
        )
