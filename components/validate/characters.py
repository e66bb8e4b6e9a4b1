"""What texts are made of, counted in a compiled loop.

In: texts as Arrow strings. Out: of each how many characters it has, and how many of them are of each class. In between:
linear in the bytes; the classes are those of polars' own patterns, asked once.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from components.core.compiling import kernel
from components.core.strings import text_buffers
from components.core.utf8 import character

# Columns of what is counted, beside all characters; a pattern for each.
LETTER, CONTROL, REPLACEMENT = 1, 2, 3
_PATTERNS = {LETTER: r"\p{L}", CONTROL: r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]", REPLACEMENT: "\ufffd"}
_CODE_POINTS, _SURROGATES = 0x110000, slice(0xD800, 0xE000)


def count_characters(texts: pa.Array) -> NDArray[np.int64]:
    """Characters, letters, control characters and U+FFFD of each text; large strings, none null.  # [num_texts, 4]"""
    counts = np.zeros((len(texts), 1 + len(_PATTERNS)), np.int64)
    _count(*text_buffers(texts), _classes(), counts)
    return counts


@cache
def _classes() -> NDArray[np.uint8]:
    """The class of each code point; 0 for those of none."""
    points, classes = np.delete(np.arange(_CODE_POINTS), _SURROGATES), np.zeros(_CODE_POINTS, np.uint8)
    characters = pl.Series([points.astype("<u4").tobytes().decode("utf-32-le")]).str.split("").explode()
    for number, pattern in _PATTERNS.items():
        classes[points[characters.str.contains(pattern).to_numpy()]] = number
    return classes


@kernel
def _count(offsets: Any, data: Any, classes: Any, counts: Any) -> None:
    for text in range(len(offsets) - 1):
        at, end, characters, letters, controls, replacements = offsets[text], offsets[text + 1], 0, 0, 0, 0
        while at < end:
            code, size = character(data, at)
            kind = classes[code]
            characters, letters = characters + 1, letters + (kind == LETTER)
            controls, replacements = controls + (kind == CONTROL), replacements + (kind == REPLACEMENT)
            at += size
        counts[text, 0], counts[text, LETTER] = characters, letters
        counts[text, CONTROL], counts[text, REPLACEMENT] = controls, replacements
