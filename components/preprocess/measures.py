"""Measures of texts for the rules, in compiled loops: repetition, words, symbols, lines.

In: Arrow buffers of a column of texts, and the tables of ``components.preprocess.characters``. Out: a row of numbers
per text. In between: nothing is decided here, and equal bytes give equal numbers on every thread. Every loop is linear
in the text: a hash table is sized by what goes in.

Shapes: as in ``components.preprocess.words``.
"""

from __future__ import annotations

import numpy as np

from components.core.compiling import kernel
from components.preprocess.characters import ALPHA, LINE, SPACE, SYMBOL, TERMINAL
from components.preprocess.words import Array, decode, hash_characters, split_words

_STEP = np.uint64(0xC2B2AE3D27D4EB4F)
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


@kernel
def measure(data: Array, offsets: Array, kinds_of_all: Array, keys: Array, pieces: Array, units: Array, stops: Array,
            short_line: int, wants_repetition: bool, wants_quality: bool, wants_lines: bool) -> Array:  # fmt: skip
    """The numbers of MEASURES for each text, shape (texts, measures); families that are not wanted stay 0.

    ``short_line`` is the most characters of a short line; ``stops`` holds the hashes of the stop words.
    """
    longest = 1
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    codes, kinds = np.empty(longest, np.uint32), np.empty(longest, np.uint16)
    words, hashes = np.empty((longest, 2), np.int64), np.empty(longest, np.uint64)
    grams = np.empty(longest, np.uint64)
    seen, counts = _table(longest + 1)
    out = np.zeros((len(offsets) - 1, len(MEASURES)))
    for row in range(len(offsets) - 1):
        n = decode(data, offsets[row], offsets[row + 1], kinds_of_all, codes, kinds)
        w = split_words(codes, kinds, 0, n, keys, pieces, units, words, hashes)
        if wants_repetition:
            _measure_repetition(codes, kinds, n, words, hashes, w, grams, seen, counts, out[row])
        if wants_quality:
            _measure_quality(codes, kinds, n, words, hashes, w, stops, out[row])
        if wants_lines:
            _measure_lines(codes, kinds, n, w, short_line, seen, out[row])
    return out


@kernel
def _table(most: int) -> tuple[Array, Array]:
    """An open hash table for up to ``most`` keys: the keys (0: empty), and for each its count and first position."""
    size = _mask(most) + 1
    return np.zeros(size, np.uint64), np.zeros((size, 2), np.int32)


@kernel
def _mask(items: int) -> int:
    """One less than a power of two that is at least twice ``items``."""
    size = 16
    while size < 2 * items:
        size *= 2
    return size - 1


@kernel
def _see(seen: Array, mask: int, key: np.uint64) -> tuple[np.int64, bool]:
    """The slot of ``key``, and whether it was there before; it is there now."""
    key |= np.uint64(1)
    slot = np.int64((key >> np.uint64(20)) & np.uint64(mask))
    while seen[slot]:
        if seen[slot] == key:
            return slot, True
        slot = (slot + 1) & mask
    seen[slot] = key
    return slot, False


@kernel
def _measure_repetition(codes: Array, kinds: Array, n: int, words: Array, hashes: Array, w: int, grams: Array,
                        seen: Array, counts: Array, out: Array) -> None:  # fmt: skip
    """Gopher, table A1, as datatrove counts it: paragraphs, lines, most frequent and repeated n-grams."""
    if n == 0:
        return
    begin, end = 0, n
    while begin < end and kinds[begin] & SPACE:
        begin += 1
    while end > begin and kinds[end - 1] & SPACE:
        end -= 1
    repeated, characters, pieces = _repeated_pieces(codes, begin, end, 2, seen)
    out[_REPETITION], out[_REPETITION + 1] = repeated / pieces, characters / n
    repeated, characters, pieces = _repeated_pieces(codes, 0, n, 1, seen)
    out[_REPETITION + 2], out[_REPETITION + 3] = repeated / pieces, characters / n
    for i in range(w):
        grams[i] = hashes[i] * _STEP
    for size in range(2, 5):
        _lengthen(grams, hashes, w, size)
        out[_REPETITION + 2 + size] = _top_ngram(words, grams, w, size, seen, counts) / n
    for size in range(5, 11):
        _lengthen(grams, hashes, w, size)
        repeated = _repeated_ngrams(words, grams, w, size, seen)
        if repeated == 0:  # a longer n-gram that repeats would repeat this part of it
            break
        out[_REPETITION + 2 + size] = repeated / n


@kernel
def _repeated_pieces(codes: Array, begin: int, end: int, breaks: int, seen: Array) -> tuple[int, int, int]:
    """Cut at runs of at least ``breaks`` newlines: later copies, their characters, all pieces."""
    most = 1
    for i in range(begin, end):
        most += codes[i] == _NEWLINE
    mask = _mask(most)
    seen[: mask + 1] = 0
    repeated, characters, pieces, start, i = 0, 0, 0, begin, begin
    while i <= end:
        run = 0
        while i + run < end and codes[i + run] == _NEWLINE:
            run += 1
        if i == end or run >= breaks:
            if _see(seen, mask, hash_characters(codes, start, i))[1]:
                repeated, characters = repeated + 1, characters + i - start
            pieces, start = pieces + 1, i + run
        i += max(run, 1)
    return repeated, characters, pieces


@kernel
def _top_ngram(words: Array, grams: Array, w: int, size: int, seen: Array, counts: Array) -> int:
    """Characters of the most frequent n-gram (the first of equals, spaces counted) times how often it stands."""
    if w < size:
        return 0
    mask, most, first = _mask(w), 0, 0
    seen[: mask + 1] = 0
    for i in range(w - size + 1):
        slot, is_known = _see(seen, mask, grams[i])
        if not is_known:
            counts[slot, 0], counts[slot, 1] = 0, i
        counts[slot, 0] += 1
        count, position = counts[slot, 0], counts[slot, 1]
        if count > most or (count == most and position < first):
            most, first = count, position
    length = size - 1
    for i in range(first, first + size):
        length += words[i, 1] - words[i, 0]
    return length * most


@kernel
def _repeated_ngrams(words: Array, grams: Array, w: int, size: int, seen: Array) -> int:
    """Characters in n-grams that stood earlier; after one, reading goes on behind it."""
    if w < size:
        return 0
    mask = _mask(w)
    seen[: mask + 1] = 0
    characters, i = 0, 0
    while i < w - size + 1:
        if _see(seen, mask, grams[i])[1]:
            for j in range(i, i + size):
                characters += words[j, 1] - words[j, 0]
            i += size
        else:
            i += 1
    return characters


@kernel
def _lengthen(grams: Array, hashes: Array, w: int, size: int) -> None:
    """Make the hashes of all (size - 1)-grams those of all n-grams of ``size`` words."""
    for i in range(w - size + 1):
        value = (grams[i] ^ hashes[i + size - 1]) * _STEP
        grams[i] = value ^ (value >> np.uint64(31))


@kernel
def _measure_quality(codes: Array, kinds: Array, n: int, words: Array, hashes: Array, w: int, stops: Array,
                     out: Array) -> None:  # fmt: skip
    """Gopher, section A1.1, as datatrove counts it: words, symbols, bullets, letters and stop words."""
    num_words, characters, alphabetic, seen = 0, 0, 0, 0
    for i in range(w):
        kind_of_word, is_symbol = 0, True
        for j in range(words[i, 0], words[i, 1]):
            kind_of_word |= kinds[j]
            is_symbol &= (kinds[j] & SYMBOL) != 0
        alphabetic += (kind_of_word & ALPHA) != 0
        if not is_symbol:
            num_words, characters = num_words + 1, characters + words[i, 1] - words[i, 0]
        for k in range(len(stops)):
            seen |= (hashes[i] == stops[k]) << k
    out[_QUALITY] = num_words
    out[_QUALITY + 1] = characters / num_words if num_words else 0.0
    marks, ellipses = _symbols(codes, n)
    out[_QUALITY + 2], out[_QUALITY + 3] = (marks / w, ellipses / w) if w else (0.0, 0.0)
    lines, bullets, open_ends = _line_ends(codes, kinds, n)
    out[_QUALITY + 4], out[_QUALITY + 5] = (bullets / lines, open_ends / lines) if lines else (0.0, 0.0)
    out[_QUALITY + 6] = alphabetic / w if w else 0.0
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
    mask = _mask(breaks + 1)
    seen[: mask + 1] = 0
    lines, terminal, short, characters, start = 0, 0, 0, 0, 0
    for i in range(n + 1):
        if i < n and codes[i] != _NEWLINE:
            continue
        if not _is_blank(kinds, start, i):
            lines, short = lines + 1, short + (i - start <= short_line)
            terminal += (kinds[i - 1] & TERMINAL) != 0
            characters += (i - start) * _see(seen, mask, hash_characters(codes, start, i))[1]
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
