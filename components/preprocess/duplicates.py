"""Exact copies: which copy of a text is kept.

In: the digest of each cleaned text. Out: the copy to keep of each, and the rows that are other copies. In between:
which copy is kept depends on identities alone, never on the order of the rows.
"""

from __future__ import annotations

import hashlib

import polars as pl


def digest(texts: pl.Series) -> pl.Series:
    """The SHA-256 of each text's UTF-8 as 32 bytes."""
    return pl.Series("digest", [hashlib.sha256(text.encode()).digest() for text in texts], dtype=pl.Binary)


def first_copies(index: pl.DataFrame) -> pl.DataFrame:
    """The smallest ``doc_id`` of each ``digest`` as ``first``: the copy to keep, whatever the order of the rows."""
    return index.group_by("digest").agg(first=pl.col("doc_id").min())


def name_first(documents: pl.DataFrame, firsts: pl.DataFrame) -> pl.DataFrame:
    """``documents`` with the column ``first``, the identity of the copy that is kept."""
    return documents.join(firsts, on="digest", how="left", maintain_order="left")


def as_rejects(copies: pl.DataFrame) -> pl.DataFrame:
    """Copies of kept texts, with ``reason`` and ``detail``."""
    return copies.with_columns(
        reason=pl.lit("duplicate"), detail=pl.format("the text of {}, which is kept", pl.col("first"))
    )
