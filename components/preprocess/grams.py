"""Texts as hashes of their words and of runs of words: what near-duplicates and contamination are found by.

In: UTF-8 as bytes and offsets. Out: 64-bit hashes. In between: a word is a run of letters and digits without regard to
ASCII case; punctuation and spaces do not count; scripts that write no spaces (CJK, kana, Hangul, Thai, emoji) count
each character as a word. Equal words have equal hashes on every machine; different ones collide with chance 2^-64.
"""

# Numbers in here are machine integers, whatever the annotations call them.
# mypy: disable-error-code="return-value,arg-type,no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.compiling import kernel

_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_GRAM = np.uint64(0x9DDFEA08EB382D69)
_MIX_A, _MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SEPARATOR, _PART, _WHOLE = 0, 1, 2
NOTHING = np.uint64(0)
Array = npt.NDArray[Any]


@kernel
def mix(value: np.uint64) -> np.uint64:
    """Every bit of ``value`` into every bit (Steele, Lea and Flood 2014, SplitMix64, figure 16)."""
    value = (value ^ value >> np.uint64(30)) * _MIX_A
    value = (value ^ value >> np.uint64(27)) * _MIX_B
    return value ^ value >> np.uint64(31)


@kernel
def _lower(byte: int) -> int:
    """An ASCII capital in lower case; any other byte as it is."""
    return byte + 0x20 if 0x41 <= byte <= 0x5A else byte


@kernel
def _is_alphanumeric(byte: int) -> bool:
    return 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A


@kernel
def _kind(first: int, second: int) -> tuple[int, int]:
    """What a character is to words, by its first two bytes, and its size."""
    if first < 0x80:
        return (_PART if _is_alphanumeric(first) else _SEPARATOR), 1
    if first < 0xE0:
        return (_SEPARATOR if first == 0xC2 else _PART), 2
    if first >= 0xF0:
        return _WHOLE, 4
    if (first == 0xE2 and second in (0x80, 0x81)) or (first == 0xE3 and second == 0x80):
        return _SEPARATOR, 3
    is_whole = 0xE3 <= first <= 0xED or (first == 0xE0 and second in (0xB8, 0xB9))
    return (_WHOLE if is_whole else _PART), 3


@kernel
def hash_words(data: Array, offsets: Array, words: Array, ends: Array) -> int:
    """Write the hash of each word of each text to ``words`` and where each text's end in it to ``ends``."""
    num = 0
    for text in range(offsets.size - 1):
        at, end, value = offsets[text], offsets[text + 1], _FNV_OFFSET
        while at < end:
            kind, size = _kind(data[at], data[min(at + 1, end - 1)])
            if kind != _PART and value != _FNV_OFFSET:
                words[num], value = mix(value), _FNV_OFFSET
                num += 1
            for i in range(size if kind != _SEPARATOR else 0):
                value = (value ^ np.uint64(_lower(data[at + i]))) * _FNV_PRIME
            if kind == _WHOLE:
                words[num], value = mix(value), _FNV_OFFSET
                num += 1
            at += size
        if value != _FNV_OFFSET:
            words[num] = mix(value)
            num += 1
        ends[text] = num
    return num


@kernel
def _gram(words: Array, at: int, size: int) -> np.uint64:
    """The hash of ``size`` words in their order."""
    value = np.uint64(size)
    for i in range(size):
        value = value * _GRAM + words[at + i]
    return mix(value)


@kernel
def sign(words: Array, ends: Array, size: int, factors: Array, terms: Array, least: Array, signatures: Array) -> None:
    """MinHash (Broder 1997, section 3): for each function the least value over a text's grams, its high 32 bits.

    A text of fewer than ``size`` words is one gram; one without words keeps a signature of ones.
    # factors, terms, least (room for one text): [num_hashes] uint64; signatures: [num_texts, num_hashes] uint32
    """
    start = 0
    for text in range(ends.size):
        end = ends[text]
        least[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
        last = max(start, end - size)
        for at in range(start, last + 1 if end > start else start):
            value = _gram(words, at, min(size, end - at))
            for i in range(factors.size):
                hashed = value * factors[i] + terms[i]
                least[i] = min(least[i], hashed)
        for i in range(factors.size):
            signatures[text, i] = least[i] >> np.uint64(32)
        start = end


@kernel
def fold_bands(signatures: Array, rows: int, keys: Array) -> None:
    """The key of each band of ``rows`` values (Leskovec, Rajaraman and Ullman 2020, section 3.4.1).

    # signatures: [num_texts, num_bands * rows]; keys: [num_bands, num_texts] uint64
    """
    for band in range(keys.shape[0]):
        for text in range(keys.shape[1]):
            value = np.uint64(band)
            for i in range(rows):
                value = value * _GRAM + np.uint64(signatures[text, band * rows + i])
            keys[band, text] = mix(value)


@kernel
def collect_grams(words: Array, ends: Array, size: int, mask: np.uint64, grams: Array) -> int:
    """Write those grams of all texts whose hash has no bit of ``mask``; returns how many. A gram is never 0."""
    num, start = 0, 0
    for text in range(ends.size):
        for at in range(start, ends[text] - size + 1):
            value = _gram(words, at, size) | np.uint64(1) << np.uint64(63)
            if value & mask == NOTHING:
                grams[num] = value
                num += 1
        start = ends[text]
    return num


@kernel
def num_slots(table: Array) -> int:
    """How many of the numbers of a table are slots; the ninth part behind them holds hints, 8 bits for each slot."""
    return table.size // 9 * 8


@kernel
def fill_table(grams: Array, table: Array) -> None:
    """Enter grams into an open table whose number of slots is a power of two; empty ones hold 0."""
    num = num_slots(table)
    mask = np.uint64(num - 1)
    for gram in grams:
        slot = gram >> np.uint64(20) & mask
        while table[slot] != NOTHING and table[slot] != gram:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = gram
        word, bit = _hint(gram, num)
        table[word] |= bit


@kernel
def _hint(gram: np.uint64, num: int) -> tuple[int, np.uint64]:
    """Where the bit lies that says whether a gram could be in a table of ``num`` slots."""
    place = gram >> np.uint64(20) & np.uint64(8 * num - 1)
    return num + np.int64(place >> np.uint64(6)), np.uint64(1) << (place & np.uint64(63))


@kernel
def count_hits(words: Array, ends: Array, size: int, mask: np.uint64, table: Array, hits: Array, seen: Array) -> None:
    """For each text, how many of its grams were looked up (``seen``) and stand in the table (``hits``).

    Hints stay in the processor's caches, and few grams pass them; the slots would be waited for.
    """
    num, start = num_slots(table), 0
    slots = np.uint64(num - 1)
    for text in range(ends.size):
        hits[text], seen[text] = 0, 0
        for at in range(start, ends[text] - size + 1):
            value = _gram(words, at, size) | np.uint64(1) << np.uint64(63)
            if value & mask != NOTHING:
                continue
            seen[text] += 1
            word, bit = _hint(value, num)
            if table[word] & bit == NOTHING:
                continue
            slot = value >> np.uint64(20) & slots
            while table[slot] != NOTHING and table[slot] != value:
                slot = (slot + np.uint64(1)) & slots
            if table[slot] == value:
                hits[text] += 1
        start = ends[text]
