"""One character of valid UTF-8, for compiled loops.

In: bytes and a place. Out: the code point that starts there, and its size. In between: nothing is checked, since
the strings of Arrow are valid.
"""

# Numbers in here are machine integers, whatever the annotations call them.
# mypy: disable-error-code="return-value,no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np

from components.core.compiling import kernel


@kernel
def character(data: Any, at: int) -> tuple[int, int]:
    """The code point that starts at ``at``, and the bytes that it takes."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (np.int64(data[at + 1]) & 0x3F), 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (np.int64(data[at + 1]) & 0x3F) << 6 | (np.int64(data[at + 2]) & 0x3F), 3
    high = (first & 0x07) << 18 | (np.int64(data[at + 1]) & 0x3F) << 12
    return high | (np.int64(data[at + 2]) & 0x3F) << 6 | (np.int64(data[at + 3]) & 0x3F), 4
