"""Asks the tokenizers library to which class of its pattern each code point belongs.

``python -m tests.components.tokenizer.characters`` writes the table that the encoder reads; a test compares them.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
from tokenizers import pre_tokenizers

from components.tokenizer import encoder, kernels

# Beyond these planes nothing is assigned but private use: of the rest a sample is asked.
_ASSIGNED = [*range(0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE1000)]
_POINTS = sorted({*_ASSIGNED, *range(0x32400, 0x110000, 61)})
_PIECE = 50_000


def ask() -> npt.NDArray[np.uint8]:
    """The class of every code point; surrogates, which no text holds, and what was not asked are OTHER."""
    classes = np.full(0x110000, kernels.OTHER, np.uint8)
    classes[_POINTS] = kernels.WHITESPACE
    for kind, neighbour in ((kernels.LETTER, "a"), (kernels.NUMBER, "1"), (kernels.OTHER, "!")):
        for start in range(0, len(_POINTS), _PIECE):
            points = np.array(_POINTS[start : start + _PIECE])
            classes[points[_joined(points, neighbour)]] = kind
    return classes


def begins(classes: npt.NDArray[np.uint8]) -> list[list[int]]:
    """Where a new class begins, and which."""
    starts = np.flatnonzero(np.diff(classes.astype(np.int64), prepend=-1))
    return [[int(start), int(classes[start])] for start in starts]


def _joined(points: npt.NDArray[np.int64], neighbour: str) -> list[int]:
    """Positions of those points that stand in one word with ``neighbour`` on both sides."""
    text = "\n".join(neighbour + chr(point) + neighbour for point in points)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return [start // 4 for _, (start, end) in words if start % 4 == 0 and end == start + 3]


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(pair) for pair in begins(ask()))
    encoder.CHARACTERS.write_text(f"[{lines}]\n")
