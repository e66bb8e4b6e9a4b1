"""Measures of texts for the rules, in compiled loops: repetition, words, symbols, lines.

In: Arrow buffers of a column of texts, and the tables of ``components.preprocess.characters``. Out: a row of numbers
per text, and the text without the lines that C4 leaves out. In between: a text is decoded and cut into words once, for
all rules; nothing is decided here but which lines go, and equal bytes give equal numbers on every thread. Every loop
is linear in the text: a hash table is sized by what goes in.

Shapes: as in ``components.preprocess.words``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from components.core.compiling import kernel
from components.preprocess.characters import ALPHA, LINE, SPACE, SYMBOL, TERMINAL, Tables
from components.preprocess.lines import LineRules, encode, keep_lines
from components.preprocess.words import Array, decode, hash_piece, split_words

_STEP = np.uint64(0xC2B2AE3D27D4EB4F)
_ONE = np.uint64(1)
_DOT, _HYPHEN, _HASH, _ELLIPSIS, _BULLET, _NEWLINE = 0x2E, 0x2D, 0x23, 0x2026, 0x2022, 0x0A

# Columns of what ``measure`` gives, in the order of the rules that read them.
MEASURES = (
    "duplicate_paragraph_ratio", "duplicate_paragraph_character_ratio", "duplicate_line_ratio",
    "duplicate_line_character_ratio", "top_2_gram_ratio", "top_3_gram_ratio", "top_4_gram_ratio",
    "duplicate_5_gram_ratio", "duplicate_6_gram_ratio", "duplicate_7_gram_ratio", "duplicate_8_gram_ratio",
    "duplicate_9_gram_ratio", "duplicate_10_gram_ratio", "num_words", "mean_word_length", "hash_ratio",
    "ellipsis_ratio", "bullet_line_ratio", "ellipsis_line_ratio", "alphabetic_word_ratio", "num_stop_words",
    "terminal_line_ratio", "short_line_ratio", "repeated_character_ratio", "line_break_ratio",
)  # fmt: skip
_REPETITION, _QUALITY, _LINES = 0, 13, 21


class Wanted(NamedTuple):
    """Which families are measured; ``stops`` holds the hashes of the stop words, ``short_line`` is the most
    characters of a short line."""

    repetition: bool
    quality: bool
    c4: bool
    fineweb: bool
    stops: Array
    short_line: int


class Scratch(NamedTuple):
    """Room for one text of n characters: see the shapes above; ``seen`` and ``counts`` are an open hash table."""

    codes: Array
    kinds: Array
    words: Array
    hashes: Array
    line_words: Array
    line_hashes: Array
    grams: Array
    places: Array
    slots: Array
    seen: Array
    counts: Array


def make_scratch(n: int) -> Scratch:
    """Room for texts of up to ``n`` characters."""
    n, size = n + 1, _size(n + 1)
    return Scratch(
        codes=np.empty(n, np.uint32), kinds=np.empty(n, np.uint16),
        words=np.empty((n, 3), np.int32), hashes=np.empty(n, np.uint64),
        line_words=np.empty((n, 3), np.int32), line_hashes=np.empty(n, np.uint64),
        grams=np.empty(n, np.uint64), places=np.empty(n, np.int32), slots=np.empty(n, np.int32),
        seen=np.empty(size, np.uint64), counts=np.empty((size, 2), np.int32),
    )  # fmt: skip


@kernel
def measure(data: Array, offsets: Array, tables: Tables, scratch: Scratch, wanted: Wanted, rules: LineRules,
            out: Array, kept: Array, kept_offsets: Array, sentences: Array) -> int:  # fmt: skip
    """Write the numbers of MEASURES for each text to ``out``; families that are not wanted leave it as it is.

    Where C4 is wanted, FineWeb's numbers are of what C4 leaves; that is written to ``kept``, and what ``keep_lines``
    says of each text to ``sentences``. Returns how many bytes were kept.
    """
    codes, kinds, words, size = scratch.codes, scratch.kinds, scratch.words, 0
    for row in range(len(offsets) - 1):
        n = decode(data, offsets[row], offsets[row + 1], tables.kinds, codes, kinds)
        w = split_words(codes, kinds, 0, n, tables, words, scratch.hashes)
        if wanted.repetition and n:
            _measure_repetition(n, w, scratch, out[row])
        if wanted.quality:
            _measure_quality(n, w, scratch, wanted.stops, out[row])
        if wanted.c4:
            n, w, sentences[row] = keep_lines(codes, kinds, n, words, w, tables, scratch.line_words,
                                              scratch.line_hashes, rules)  # fmt: skip
            size = encode(codes, n, kept, size)
            kept_offsets[row + 1] = size
        if wanted.fineweb:
            _measure_lines(codes, kinds, n, w, wanted.short_line, scratch.seen, out[row])
    return size


@kernel
def _size(items: int) -> int:
    """A power of two that is at least twice ``items``: places of an open hash table."""
    size = 16
    while size < 2 * items:
        size *= 2
    return size


@kernel
def _see(seen: Array, mask: int, key: np.uint64) -> tuple[np.int64, bool]:
    """The slot of ``key``, and whether it was there before; it is there now."""
    key |= _ONE
    slot = np.int64((key >> np.uint64(20)) & np.uint64(mask))
    while seen[slot]:
        if seen[slot] == key:
            return slot, True
        slot = (slot + 1) & mask
    seen[slot] = key
    return slot, False


@kernel
def _measure_repetition(n: int, w: int, scratch: Scratch, out: Array) -> None:
    """Gopher, table A1, as datatrove counts it: paragraphs, lines, most frequent and repeated n-grams.

    A run of words can only stand twice where its beginning does: each length looks at those places alone that the
    length before it found to be repeated (``places``).
    """
    codes, kinds, begin, end = scratch.codes, scratch.kinds, 0, n
    while begin < end and kinds[begin] & SPACE:
        begin += 1
    while end > begin and kinds[end - 1] & SPACE:
        end -= 1
    repeated, characters, pieces = _repeated_pieces(codes, begin, end, 2, scratch.seen)
    out[_REPETITION], out[_REPETITION + 1] = repeated / pieces, characters / n
    repeated, characters, pieces = _repeated_pieces(codes, 0, n, 1, scratch.seen)
    out[_REPETITION + 2], out[_REPETITION + 3] = repeated / pieces, characters / n
    for i in range(w):
        scratch.grams[i], scratch.places[i] = scratch.hashes[i] * _STEP, i
    num = w
    for size in range(2, 5):
        num = _lengthen(scratch, num, w, size)
        characters, num = _top_ngram(scratch, num, w, size)
        out[_REPETITION + 2 + size] = characters / n
    for size in range(5, 11):
        num = _lengthen(scratch, num, w, size)
        repeated = _repeated_ngrams(scratch, num, size)
        if repeated == 0:  # a longer n-gram that repeats would repeat this part of it
            break
        out[_REPETITION + 2 + size] = repeated / n


@kernel
def _repeated_pieces(codes: Array, begin: int, end: int, breaks: int, seen: Array) -> tuple[int, int, int]:
    """Cut at runs of at least ``breaks`` newlines: later copies, their characters, all pieces."""
    most = 1
    for i in range(begin, end):
        most += codes[i] == _NEWLINE
    if most == 1:
        return 0, 0, 1
    mask = _size(most) - 1
    seen[: mask + 1] = 0
    repeated, characters, pieces, start, i = 0, 0, 0, begin, begin
    while i <= end:
        if i < end and codes[i] != _NEWLINE:
            i += 1
            continue
        run = 0
        while i + run < end and codes[i + run] == _NEWLINE:
            run += 1
        if i == end or run >= breaks:
            if _see(seen, mask, hash_piece(codes, start, i))[1]:
                repeated, characters = repeated + 1, characters + i - start
            pieces, start = pieces + 1, i + run
        i += max(run, 1)
    return repeated, characters, pieces


@kernel
def _lengthen(scratch: Scratch, num: int, w: int, size: int) -> int:
    """Make the hashes of the (size - 1)-grams at ``places`` those of n-grams of ``size`` words; returns how many."""
    grams, places, hashes = scratch.grams, scratch.places, scratch.hashes
    while num and places[num - 1] + size > w:
        num -= 1
    for k in range(num):
        i = places[k]
        value = (grams[i] ^ hashes[i + size - 1]) * _STEP
        grams[i] = value ^ (value >> np.uint64(31))
    return num


@kernel
def _top_ngram(scratch: Scratch, num: int, w: int, size: int) -> tuple[int, int]:
    """Characters of the most frequent n-gram (the first of equals, spaces counted) times how often it stands.

    Also returns how many of ``places`` are left: those whose n-gram stands more than once.
    """
    if w < size:
        return 0, 0
    words, places, seen, counts = scratch.words, scratch.places, scratch.seen, scratch.counts
    mask, most, first = _size(num) - 1, 1, 0
    seen[: mask + 1] = 0
    for k in range(num):
        i = places[k]
        slot, is_known = _see(seen, mask, scratch.grams[i])
        if not is_known:
            counts[slot, 0], counts[slot, 1] = 0, i
        counts[slot, 0] += 1
        scratch.slots[k] = slot
        count, position = counts[slot, 0], counts[slot, 1]
        if count > most or (count == most and position < first):
            most, first = count, position
    length, left = size - 1, 0
    for i in range(first, first + size):
        length += words[i, 1] - words[i, 0]
    for k in range(num):
        places[left] = places[k]
        left += counts[scratch.slots[k], 0] > 1
    return length * most, left


@kernel
def _repeated_ngrams(scratch: Scratch, num: int, size: int) -> int:
    """Characters in n-grams that stood earlier; after one, reading goes on behind it."""
    words, seen = scratch.words, scratch.seen
    mask = _size(num) - 1
    seen[: mask + 1] = 0
    characters, after = 0, 0
    for k in range(num):
        i = scratch.places[k]
        if i >= after and _see(seen, mask, scratch.grams[i])[1]:
            after = i + size
            for j in range(i, after):
                characters += words[j, 1] - words[j, 0]
    return characters


@kernel
def _measure_quality(n: int, w: int, scratch: Scratch, stops: Array, out: Array) -> None:
    """Gopher, section A1.1, as datatrove counts it: words, symbols, bullets, letters and stop words."""
    words, hashes, num_words, characters, alphabetic, seen = scratch.words, scratch.hashes, 0, 0, 0, 0
    hints = np.uint64(0)  # most words are no stop word, and one bit of their hash shows it
    for stop in stops:
        hints |= _ONE << (stop & np.uint64(63))
    for i in range(w):
        alphabetic += (words[i, 2] & ALPHA) != 0
        if not words[i, 2] & SYMBOL:
            num_words, characters = num_words + 1, characters + words[i, 1] - words[i, 0]
        if hints >> (hashes[i] & np.uint64(63)) & _ONE:
            for k in range(len(stops)):
                seen |= (hashes[i] == stops[k]) << k
    out[_QUALITY] = num_words
    out[_QUALITY + 1] = characters / num_words if num_words else 0.0
    marks, ellipses = _symbols(scratch.codes, n)
    out[_QUALITY + 2], out[_QUALITY + 3] = (marks / w, ellipses / w) if w else (0.0, 0.0)
    lines, bullets, open_ends = _line_ends(scratch.codes, scratch.kinds, n)
    out[_QUALITY + 4], out[_QUALITY + 5] = (bullets / lines, open_ends / lines) if lines else (0.0, 0.0)
    out[_QUALITY + 6] = alphabetic / w if w else 0.0
    out[_QUALITY + 7] = 0
    for k in range(len(stops)):
        out[_QUALITY + 7] += (seen >> k) & 1


@kernel
def _symbols(codes: Array, n: int) -> tuple[int, int]:
    """How many hash signs, and how many ellipses (one character, or three dots)."""
    marks, ellipses, i = 0, 0, 0
    while i < n:
        marks += codes[i] == _HASH
        is_dots = codes[i] == _DOT and i + 2 < n and codes[i + 1] == _DOT and codes[i + 2] == _DOT
        ellipses += is_dots or codes[i] == _ELLIPSIS
        i += 3 if is_dots else 1
    return marks, ellipses


@kernel
def _line_ends(codes: Array, kinds: Array, n: int) -> tuple[int, int, int]:
    """Lines, those that begin with a bullet, those that end with an ellipsis."""
    lines, bullets, open_ends, start = 0, 0, 0, 0
    for i in range(n + 1):
        if (i < n and not kinds[i] & LINE) or (i == n and start == n):
            continue
        begin, end = start, i
        while begin < end and kinds[begin] & SPACE:
            begin += 1
        while end > begin and kinds[end - 1] & SPACE:
            end -= 1
        lines += 1
        if begin < end:
            bullets += codes[begin] == _BULLET or codes[begin] == _HYPHEN
            is_dots = end - begin > 2 and codes[end - 1] == _DOT and codes[end - 2] == _DOT and codes[end - 3] == _DOT
            open_ends += codes[end - 1] == _ELLIPSIS or is_dots
        start = i + 1
    return lines, bullets, open_ends


@kernel
def _measure_lines(codes: Array, kinds: Array, n: int, w: int, short_line: int, seen: Array, out: Array) -> None:
    """FineWeb, section 3.6, as datatrove counts it: how lines end, how short and how often repeated they are."""
    breaks = 0
    for i in range(n):
        breaks += codes[i] == _NEWLINE
    mask = _size(breaks + 1) - 1
    seen[: mask + 1] = 0
    lines, terminal, short, characters, start = 0, 0, 0, 0, 0
    for i in range(n + 1):
        if i < n and codes[i] != _NEWLINE:
            continue
        if not _is_blank(kinds, start, i):
            lines, short = lines + 1, short + (i - start <= short_line)
            terminal += (kinds[i - 1] & TERMINAL) != 0
            characters += (i - start) * _see(seen, mask, hash_piece(codes, start, i))[1]
        start = i + 1
    if lines:
        out[_LINES], out[_LINES + 1] = terminal / lines, short / lines
        out[_LINES + 2] = characters / (n - breaks)
        out[_LINES + 3] = breaks / w


@kernel
def _is_blank(kinds: Array, begin: int, end: int) -> bool:
    for i in range(begin, end):
        if not kinds[i] & SPACE:
            return False
    return True
