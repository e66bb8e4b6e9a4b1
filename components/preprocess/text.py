"""One spelling for equal texts.

In: a column of texts. Out: the column normalised. In between: normalising twice changes nothing. A text all of whose
characters are such that normalising leaves them alone, whatever stands beside them, keeps its bytes; a compiled loop
finds those, since they are most.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.core.compiling import kernel
from components.core.strings import text_buffers
from components.core.utf8 import character

# Old line ends and page breaks become line feeds; all other control characters (Unicode category Cc) but the
# tab go. They go before NFC, since a removed one may have stood between a letter and its accent.
_LINE_ENDS = "\\r\\n?|[\\x0b\\x0c\\x85]"
_CONTROLS = "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f]"
_CODE_POINTS, _SURROGATES = 0x110000, range(0xD800, 0xE000)
_LOOKED_AT = 0x32000  # behind it hardly a character is assigned; texts that hold one are normalised


def arrow_texts(texts: pl.Series) -> pa.Array:
    """A column of texts as Arrow's large strings in one piece."""
    return texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def normalise(texts: pa.Array) -> pa.Array:
    """Line feeds as line ends, no control characters, Unicode NFC (UAX #15); large strings, none of them null."""
    is_open = np.zeros(len(texts), np.bool_)
    find_open(*text_buffers(texts), settled_characters(), is_open)
    if not is_open.any():
        return texts
    mask = pa.array(is_open)
    return pc.replace_with_mask(texts, mask, arrow_texts(_normalise(pl.Series(texts.filter(mask)))))


def _normalise(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(_LINE_ENDS, "\n").str.replace_all(_CONTROLS, "").str.normalize("NFC")


@cache
def settled_characters() -> NDArray[np.bool_]:
    """Whether each code point stays as it is beside any other of which this is true.

    Not true of what normalising changes, of marks, which may change their order, and of what joins the character
    before it: all but the first of a decomposition.
    """
    points = [point for point in range(_LOOKED_AT) if point not in _SURROGATES]
    characters = pl.Series(list(map(chr, points)))
    parts = characters.str.normalize("NFD")
    joined = set("".join(text[1:] for text in parts.filter(parts != characters)))
    is_settled = np.zeros(_CODE_POINTS, np.bool_)
    is_settled[points] = (_normalise(characters) == characters) & ~characters.str.contains(r"\p{M}|\p{Cn}")
    is_settled[list(map(ord, joined))] = False
    return is_settled


@kernel
def find_open(offsets: Any, data: Any, is_settled: Any, is_open: Any) -> None:
    """Mark the texts that hold a character which is not settled."""
    for text in range(len(offsets) - 1):
        at, end = offsets[text], offsets[text + 1]
        while at < end and not is_open[text]:
            code, size = character(data, at)
            is_open[text] = not is_settled[code]
            at += size
