"""Arrow columns of texts as arrays of word hashes, MinHash signatures and band keys.

In: a column of texts. Out: NumPy arrays. In between: the hash functions are fixed, so a signature made today equals
one made elsewhere.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.preprocess import grams

_SEED = 0x9E37
ALL = np.uint64(0)
Array = npt.NDArray[Any]


class Words(NamedTuple):
    """Hashes of the words of some texts, and where each text's end."""

    hashes: Array
    ends: Array


def read_words(texts: pa.ChunkedArray) -> Words:
    """The words of a ``large_string`` column without nulls.  # hashes: [num_words] uint64; ends: [num_texts] int64"""
    column = texts.combine_chunks()
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, np.int64) if len(column) else np.zeros(1, np.int64)
    places = places[column.offset : column.offset + len(column) + 1]
    whole = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    hashes, ends = np.empty(int(places[-1] - places[0]), np.uint64), np.empty(len(column), np.int64)
    num = grams.hash_words(whole, places, hashes, ends)
    return Words(hashes[:num], ends)


def sign(words: Words, num_hashes: int, size: int) -> Array:
    """MinHash signatures over grams of ``size`` words.  # [num_texts, num_hashes] uint32"""
    signatures = np.empty((len(words.ends), num_hashes), np.uint32)
    grams.sign(words.hashes, words.ends, size, *_functions(num_hashes), np.empty(num_hashes, np.uint64), signatures)
    return signatures


def band_keys(signatures: Array, num_bands: int, rows: int) -> Array:
    """The keys of the bands of signatures, each of ``rows`` values.  # [num_bands, num_texts] uint64"""
    keys = np.empty((num_bands, len(signatures)), np.uint64)
    grams.fold_bands(signatures, rows, keys)
    return keys


def collect_grams(words: Words, size: int, mask: np.uint64 = ALL) -> Array:
    """The distinct grams of ``size`` words that have no bit of ``mask``, in order.  # [num_grams] uint64"""
    found = np.empty(len(words.hashes), np.uint64)
    return np.unique(found[: grams.collect_grams(words.hashes, words.ends, size, mask, found)])


def make_table(found: Array) -> Array:
    """Grams as an open table, at most half full, with hints behind it.  # [9/8 of a power of two] uint64"""
    table = np.zeros((1 << max(4, (2 * len(found)).bit_length())) // 8 * 9, np.uint64)
    grams.fill_table(found, table)
    return table


def count_hits(words: Words, size: int, table: Array, mask: np.uint64 = ALL) -> tuple[Array, Array]:
    """For each text, how many of its grams stand in ``table``, and how many were looked up.  # both [num_texts]"""
    hits, seen = np.empty(len(words.ends), np.int64), np.empty(len(words.ends), np.int64)
    grams.count_hits(words.hashes, words.ends, size, mask, table, hits, seen)
    return hits, seen


@cache
def _functions(num_hashes: int) -> tuple[Array, Array]:
    """Factors (odd) and terms of the hash functions ``h * factor + term`` modulo 2^64 (Dietzfelbinger 1996)."""
    values = np.arange(1, 2 * num_hashes + 1, dtype=np.uint64) + np.uint64(_SEED << 32)
    mixed = np.array([grams.mix(value) for value in values], np.uint64)
    return mixed[:num_hashes] | np.uint64(1), mixed[num_hashes:]
