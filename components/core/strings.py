"""Arrow strings as the rules take them: the bytes of each text, and a column with some of its texts replaced.

In: an array of large strings, none of them null. Out: UTF-8 bytes; an array. In between: what is not replaced is
never decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def text_buffers(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets and bytes of a ``large_string`` array, without a copy.  # [num_texts + 1], [num_bytes]"""
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int64) if offsets else np.zeros(1, np.int64)
    whole = np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8)
    return places[texts.offset : texts.offset + len(texts) + 1], whole


def utf8_values(texts: pa.Array) -> Iterator[bytes]:
    """The UTF-8 of each text."""
    if not len(texts):
        return
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1].tolist()
    view = memoryview(data if data is not None else b"")
    yield from (bytes(view[begin:end]) for begin, end in pairwise(bounds))


def replaced(texts: pa.Array, changed: Mapping[int, bytes]) -> pa.Array:
    """``texts`` with those at the places of ``changed`` replaced by its UTF-8."""
    if not changed:
        return texts
    places = sorted(changed)
    is_changed = np.zeros(len(texts), np.bool_)
    is_changed[places] = True
    values = pa.array([changed[place] for place in places], pa.large_binary()).cast(texts.type)
    return pc.replace_with_mask(texts, pa.array(is_changed), values)
