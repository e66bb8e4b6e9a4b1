"""One spelling for equal texts.

In: a column of texts. Out: the column normalised. In between: normalising twice changes nothing.
"""

from __future__ import annotations

import polars as pl

# Old line ends and page breaks become line feeds; all other control characters (Unicode category Cc) but the
# tab go. They go before NFC, since a removed one may have stood between a letter and its accent.
_LINE_ENDS = "\\r\\n?|[\\x0b\\x0c\\x85]"
_CONTROLS = "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f]"


def normalise(text: pl.Expr) -> pl.Expr:
    """Line feeds as line ends, no control characters, Unicode NFC (UAX #15)."""
    return text.str.replace_all(_LINE_ENDS, "\n").str.replace_all(_CONTROLS, "").str.normalize("NFC")
