"""What happens to documents that can be judged one by one: the unit of work is a row group.

In: a table of documents (schema ``DOCUMENTS``). Out: those that are kept, with their texts mended, and the rejects
(schema ``REJECTS_SCHEMA``), both in the order of the input. In between: ``clean`` is a pure function of its
arguments, so row groups may be cleaned anywhere and in any order; a document is dropped for the first reason that
holds, and the two tables together hold every document once.

Texts are mended before they are judged, personal data included: what was found stands neither in the corpus nor
among the rejects nor on a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from components.core.documents import DOCUMENTS, REJECTS_SCHEMA
from components.core.personal import mask
from components.preprocess.config import PreprocessConfig
from components.preprocess.language import identify
from components.preprocess.mojibake import repair
from components.preprocess.quality import judge_quality
from components.preprocess.rules.language import Language
from components.preprocess.text import arrow_texts, normalise


class Cleaned(NamedTuple):
    """One row group after cleaning: kept documents, dropped ones with their reason, and what was mended how often."""

    kept: pa.Table
    rejects: pa.Table
    counts: Mapping[str, int]


def clean(documents: pa.Table, quarantine: pl.DataFrame, config: PreprocessConfig) -> Cleaned:
    """Mend the texts, then judge each document by itself; ``quarantine`` is what ``read_reasons`` gives."""
    frame = pl.DataFrame(pl.from_arrow(documents))
    frame, counts = _mend(frame, config)
    judged = frame.join(quarantine, on="doc_id", how="left", maintain_order="left")
    length = pl.col("text").str.len_chars()
    judged = _drop(judged, "too_short", length < config.min_characters,
                   pl.format("{} characters, at least {}", length, config.min_characters))  # fmt: skip
    judged = _drop(judged, "too_long", length > config.max_characters,
                   pl.format("{} characters, at most {}", length, config.max_characters))  # fmt: skip
    judged = _judge_language(judged, config.language)
    judged = judge_quality(judged, config)
    is_kept = pl.col("reason").is_null()
    kept, dropped = _table(judged.filter(is_kept), DOCUMENTS), _table(judged.filter(~is_kept), REJECTS_SCHEMA)
    return Cleaned(kept, dropped, counts)


def _mend(frame: pl.DataFrame, config: PreprocessConfig) -> tuple[pl.DataFrame, dict[str, int]]:
    """One spelling, the right encoding, placeholders for personal data; and how many of each."""
    texts, counts = normalise(arrow_texts(frame["text"])), {}
    if config.repair_mojibake:
        texts, counts["repaired_documents"] = repair(texts)
        texts = normalise(texts) if counts["repaired_documents"] else texts
    if config.personal_data:
        texts, found = mask(texts, config.personal_data)
        counts |= {f"personal_{kind}": number for kind, number in found.items()}
    return frame.with_columns(pl.Series("text", texts)), counts


def _judge_language(judged: pl.DataFrame, rule: Language) -> pl.DataFrame:
    """Name the language where the source does not, and drop what is not allowed."""
    if not rule.enabled:
        return judged
    is_open = judged["reason"].is_null() & judged["language"].is_null()
    places = pl.DataFrame({"place": is_open.arg_true()}, schema={"place": pl.UInt32})
    names = identify(arrow_texts(judged["text"].filter(is_open)), rule.prefix_bytes)
    found = places.with_columns(found=pl.Series(names, dtype=pl.String))
    judged = judged.with_row_index("place").join(found, on="place", how="left", maintain_order="left")
    judged = judged.with_columns(language=pl.coalesce("language", "found")).drop("place", "found")
    if not rule.allowed:
        return judged
    told = pl.format("language {}, one of {}", pl.col("language"), pl.lit(", ".join(rule.allowed)))
    return _drop(judged, "language", ~pl.col("language").is_in(rule.allowed), told)


def _drop(judged: pl.DataFrame, reason: str, fails: pl.Expr, detail: pl.Expr) -> pl.DataFrame:
    """Drop the rows for which ``fails`` holds and that have not been dropped before."""
    falls = pl.col("reason").is_null() & fails
    return judged.with_columns(
        reason=pl.when(falls).then(pl.lit(reason)).otherwise("reason"),
        detail=pl.when(falls).then(detail).otherwise("detail"),
    )


def _table(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
