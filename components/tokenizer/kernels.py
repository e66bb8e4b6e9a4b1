"""Compiled loops of the encoder: cutting text into words, and merging the bytes of a word into tokens.

In: UTF-8 as bytes, tables of characters and merges. Out: token numbers. In between: everything here is a loop over
arrays without objects; what it must equal, token for token, is the library behind ``components.tokenizer.codec``.

A word is a match of GPT-2's pattern (``encoder.py``), here as a walk over classes of characters:
``'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+``.
"""

# Numbers in here are machine integers, whatever the annotations call them.
# mypy: disable-error-code="return-value,arg-type,no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.compiling import kernel
from components.core.utf8 import character

OTHER, LETTER, NUMBER, WHITESPACE = 0, 1, 2, 3
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_SPACE, _APOSTROPHE = 0x20, 0x27
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
# Words of more bytes are merged each time: they are rare and would fill the memory.
_LONGEST_KNOWN = 64
Array = npt.NDArray[Any]
# Open tables of the merges: keys (left << 32 | right), ranks, merged tokens.
Merges = tuple[Array, Array, Array]
# Room for merging a word of n bytes: symbols [n], links [2, n], heap [2 n].
Room = tuple[Array, Array, Array]
# Words already seen: slots of an open table, how much is used, places [words, 4], their bytes, their tokens.
Known = tuple[Array, Array, Array, Array, Array]


@kernel
def _contraction(data: Array, at: int, end: int) -> int:
    """Bytes of the contraction (``'s``, ``'re``, …) that starts at an apostrophe, or 0."""
    if at + 1 >= end:
        return 0
    first = data[at + 1]
    if first in (0x73, 0x74, 0x6D, 0x64):  # s t m d
        return 2
    if at + 2 >= end:
        return 0
    second = data[at + 2]
    is_long = (first in (0x72, 0x76) and second == 0x65) or (first == 0x6C and second == 0x6C)  # re ve ll
    return 3 if is_long else 0


@kernel
def _run_end(data: Array, at: int, end: int, classes: Array, kind: int) -> int:
    """Where the run of characters of class ``kind`` that goes on at ``at`` ends."""
    while at < end:
        point, size = character(data, at)
        if classes[point] != kind:
            break
        at += size
    return at


@kernel
def _last_start(data: Array, after: int) -> int:
    """Where the character that ends before ``after`` starts."""
    at = after - 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    return at


@kernel
def word_end(data: Array, at: int, end: int, classes: Array) -> int:
    """Where the word that starts at ``at`` ends; ``classes`` gives the class of each code point."""
    if data[at] == _APOSTROPHE:
        size = _contraction(data, at, end)
        if size:
            return at + size
    kind = classes[character(data, at)[0]]
    after = _run_end(data, at, end, classes, kind)
    if kind != WHITESPACE or after == end:
        return after
    last = _last_start(data, after)
    if last > at:
        return last  # the last of several whitespaces belongs to what follows
    if data[at] != _SPACE:
        return after
    return _run_end(data, after, end, classes, classes[character(data, after)[0]])


@kernel
def find_pair(keys: Array, left: int, right: int) -> int:
    """The slot of the merge of two tokens in the open table ``keys``, or -1."""
    key = np.uint64(left) << np.uint64(32) | np.uint64(right)
    mask = np.uint64(keys.size - 1)
    slot = (key * _MIX) >> np.uint64(20) & mask
    while keys[slot] != EMPTY:
        if keys[slot] == key:
            return np.int64(slot)
        slot = (slot + np.uint64(1)) & mask
    return -1


@kernel
def fill_pairs(keys: Array, ranks: Array, tokens: Array, merges: Array) -> None:
    """Enter ``merges`` (left, right, merged; the row is the rank) into the open tables."""
    mask = np.uint64(keys.size - 1)
    for rank in range(merges.shape[0]):
        key = np.uint64(merges[rank, 0]) << np.uint64(32) | np.uint64(merges[rank, 1])
        slot = (key * _MIX) >> np.uint64(20) & mask
        while keys[slot] != EMPTY and keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        keys[slot], ranks[slot], tokens[slot] = key, rank, merges[rank, 2]


@kernel
def _push(heap: Array, size: int, key: int) -> int:
    at = size
    while at > 0 and heap[(at - 1) >> 1] > key:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key
    return size + 1


@kernel
def _pop(heap: Array, size: int) -> int:
    """Take the least key off the heap, which then holds ``size - 1``; the caller has read it at ``heap[0]``."""
    size -= 1
    key, at = heap[size], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at], at = heap[child], child
    heap[at] = key
    return size


@kernel
def _consider(heap: Array, size: int, at: int, pair: tuple[int, int], merges: Merges) -> int:
    """Put the pair of symbols that starts at ``at`` on the heap if there is a merge for it."""
    slot = find_pair(merges[0], pair[0], pair[1])
    return _push(heap, size, np.int64(merges[1][slot]) << 32 | at) if slot >= 0 else size


@kernel
def _merge(symbols: Array, links: Array, heap: Array, num: int, merges: Merges) -> None:
    """Merge the ``num`` symbols of a word in place, lowest rank first, leftmost first; what is merged away is -1.

    Byte-pair encoding (Sennrich, Haddow and Birch 2016, algorithm 1) with a heap, so a long word costs n log n.
    ``links`` holds the next and the previous symbol of each, ``heap`` has room for 2 n pairs.
    """
    following, preceding, size = links[0], links[1], 0
    for at in range(num):
        following[at], preceding[at] = at + 1, at - 1
        if at + 1 < num:
            size = _consider(heap, size, at, (symbols[at], symbols[at + 1]), merges)
    while size:
        rank, at = heap[0] >> 32, heap[0] & 0xFFFFFFFF
        size = _pop(heap, size)
        other = following[at]
        if symbols[at] < 0 or other >= num:
            continue
        slot = find_pair(merges[0], symbols[at], symbols[other])
        if slot < 0 or merges[1][slot] != rank:
            continue  # the pair was put here before a neighbour changed
        symbols[at], symbols[other] = merges[2][slot], -1
        following[at] = following[other]
        if following[at] < num:
            preceding[following[at]] = at
            size = _consider(heap, size, at, (symbols[at], symbols[following[at]]), merges)
        if preceding[at] >= 0:
            size = _consider(heap, size, preceding[at], (symbols[preceding[at]], symbols[at]), merges)


@kernel
def hash_bytes(data: Array, start: int, end: int) -> np.uint64:
    """FNV-1a of some bytes, in 64 bits, its high bits mixed down."""
    value = _FNV_OFFSET
    for at in range(start, end):
        value = (value ^ np.uint64(data[at])) * _FNV_PRIME
    return (value ^ value >> np.uint64(29)) * _MIX


@kernel
def _find_word(data: Array, start: int, end: int, mark: np.uint64, known: Known) -> int:
    """The slot of a word: where it is known, or the empty one where it would be entered."""
    slots, _, places, text, _ = known
    mask = np.uint64(slots.size - 1)
    slot = mark >> np.uint64(32) & mask
    while slots[slot] >= 0:
        place = slots[slot]
        first, size = places[place, 0], places[place, 1]
        if size == end - start:
            at = 0
            while at < size and text[first + at] == data[start + at]:
                at += 1
            if at == size:
                return np.int64(slot)
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@kernel
def _enter_word(data: Array, start: int, end: int, slot: int, out: Array, first: int, last: int, known: Known) -> None:
    """Remember the tokens ``out[first:last]`` of a word; when there is no room all is forgotten instead."""
    slots, used, places, text, tokens = known
    words, bytes_used, tokens_used = used[0], used[1], used[2]
    has_room = words < places.shape[0] and bytes_used + end - start <= text.size
    if not (has_room and tokens_used + last - first <= tokens.size):
        slots[:] = -1
        used[:] = 0
        return
    for i in range(end - start):
        text[bytes_used + i] = data[start + i]
    for i in range(last - first):
        tokens[tokens_used + i] = out[first + i]
    places[words, 0], places[words, 1] = bytes_used, end - start
    places[words, 2], places[words, 3] = tokens_used, last - first
    slots[slot] = words
    used[0], used[1], used[2] = words + 1, bytes_used + end - start, tokens_used + last - first


@kernel
def _recall(slot: int, out: Array, num: int, known: Known) -> int:
    """Write the tokens of the known word at ``slot``; returns how many tokens there are then."""
    place = known[0][slot]
    first, size = known[2][place, 2], known[2][place, 3]
    for i in range(size):
        out[num + i] = known[4][first + i]
    return num + size


@kernel
def _encode_word(data: Array, at: int, after: int, tokens_of_bytes: Array, merges: Merges, room: Room, out: Array,
                 num: int) -> int:  # fmt: skip
    """Merge a word and write its tokens; returns how many tokens there are then."""
    size, (symbols, links, heap) = after - at, room
    for i in range(size):
        symbols[i] = tokens_of_bytes[data[at + i]]
    _merge(symbols, links, heap, size, merges)
    for i in range(size):
        if symbols[i] >= 0:
            out[num] = symbols[i]
            num += 1
    return num


@kernel
def encode(
    data: Array, offsets: Array, classes: Array, tokens_of_bytes: Array, merges: Merges, known: Known, room: Room,
    mark: int, out: Array, ends: Array,
) -> int:  # fmt: skip
    """Encode texts ``data[offsets[i]:offsets[i + 1]]`` one after the other, each followed by ``mark``.

    Writes tokens to ``out``, which must have room for one per byte and text, and where each text's end in it to
    ``ends``; returns how many there are. ``known`` is a memory of words already seen; it changes speed, not results.
    """
    num = 0
    for text in range(offsets.size - 1):
        at, end = offsets[text], offsets[text + 1]
        while at < end:
            after = word_end(data, at, end, classes)
            if after - at > _LONGEST_KNOWN:
                num = _encode_word(data, at, after, tokens_of_bytes, merges, room, out, num)
            else:
                slot = _find_word(data, at, after, hash_bytes(data, at, after), known)
                if known[0][slot] >= 0:
                    num = _recall(slot, out, num, known)
                else:
                    before = num
                    num = _encode_word(data, at, after, tokens_of_bytes, merges, room, out, num)
                    _enter_word(data, at, after, slot, out, before, num, known)
            at = after
        out[num] = mark
        num += 1
        ends[text] = num
    return num
