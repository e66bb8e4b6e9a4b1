"""One spelling for equal texts.

In: a column of texts. Out: the column normalised, and a digest of each text. In between: normalising twice
changes nothing, so equal digests mean equal normalised texts.
"""

from __future__ import annotations

import hashlib

import polars as pl

# Old line ends and page breaks become line feeds; all other control characters (Unicode category Cc) but the
# tab go. They go before NFC, since a removed one may have stood between a letter and its accent.
_LINE_ENDS = "\\r\\n?|[\\x0b\\x0c\\x85]"
_CONTROLS = "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f]"


def normalise(text: pl.Expr) -> pl.Expr:
    """Line feeds as line ends, no control characters, Unicode NFC (UAX #15)."""
    return text.str.replace_all(_LINE_ENDS, "\n").str.replace_all(_CONTROLS, "").str.normalize("NFC")


def digest(texts: pl.Series) -> pl.Series:
    """The SHA-256 of each text's UTF-8 as 32 bytes; null stays null."""
    digests = [None if text is None else hashlib.sha256(text.encode()).digest() for text in texts]
    return pl.Series("digest", digests, dtype=pl.Binary)
