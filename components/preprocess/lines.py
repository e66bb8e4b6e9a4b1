"""Texts without the lines that C4 leaves out, in compiled loops.

In: Arrow buffers of a column of texts, and the tables of ``components.preprocess.characters``. Out: Arrow buffers of
the texts that remain, and how many sentences each has. In between: linear in the text; nothing is decided here but
which lines go.
"""

from __future__ import annotations

import numpy as np

from components.core.compiling import kernel
from components.preprocess.characters import DIGIT, LINE, PUNCTUATION, SPACE, TERMINAL
from components.preprocess.words import Array, decode, split_words

_DOT, _NEWLINE = 0x2E, 0x0A


@kernel
def filter_lines(data: Array, offsets: Array, kinds_of_all: Array, keys: Array, pieces: Array, units: Array,
                 phrases: Array, ends: Array, min_words: int, max_word: int, needs_mark: bool,
                 bans_brace: bool) -> tuple[Array, Array, Array]:  # fmt: skip
    """C4 (Raffel et al. 2020, section 2.2), as datatrove does it: texts without the lines that it leaves out.

    ``phrases`` are lower-case ASCII code points one after the other, ``ends`` where each ends: the first (lorem
    ipsum) condemns the text, the others their line. Returns the kept bytes, their offsets, and for each text how
    many sentences it keeps, or -1 for lorem ipsum, -2 for a curly bracket.
    """
    longest = 1
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    codes, kinds = np.empty(longest, np.uint32), np.empty(longest, np.uint16)
    words, hashes = np.empty((longest, 2), np.int64), np.empty(longest, np.uint64)
    line, line_kinds = np.empty(longest, np.uint32), np.empty(longest, np.uint16)
    out, out_offsets = np.empty(len(data), np.uint8), np.zeros(len(offsets), np.int64)
    verdicts = np.zeros(len(offsets) - 1, np.int64)
    size = 0
    for row in range(len(offsets) - 1):
        n = decode(data, offsets[row], offsets[row + 1], kinds_of_all, codes, kinds)
        start, first = 0, size
        for i in range(n + 1):
            if verdicts[row] < 0 or (i < n and not kinds[i] & LINE) or (i == n and start == n):
                continue
            length = _keep_line(codes, kinds, start, i, line, line_kinds, min_words, max_word, needs_mark)
            start = i + 1
            found = _find_phrases(line, length, phrases, ends) if length >= 0 else -1
            if length >= 0 and found == 0:
                verdicts[row] = -1
            elif length >= 0 and bans_brace and found != 1 and _has_brace(line, length):
                verdicts[row] = -2
            elif length >= 0 and found < 0:
                w = split_words(line, line_kinds, 0, length, keys, pieces, units, words, hashes)
                verdicts[row] += _num_sentences(line_kinds, words, w)
                if size > first:
                    out[size], size = _NEWLINE, size + 1
                size = _encode(line, length, out, size)
        out_offsets[row + 1] = size
    return out[:size], out_offsets, verdicts


@kernel
def _keep_line(codes: Array, kinds: Array, begin: int, end: int, line: Array, line_kinds: Array, min_words: int,
               max_word: int, needs_mark: bool) -> int:  # fmt: skip
    """Copy the line without its citations; returns its length, or -1 when the line goes."""
    while begin < end and kinds[begin] & SPACE:
        begin += 1
    while end > begin and kinds[end - 1] & SPACE:
        end -= 1
    num_words, length = 0, 0
    for i in range(begin, end):
        length = 0 if kinds[i] & SPACE else length + 1
        num_words += length == 1
        if length > max_word:
            return -1
    n, i = 0, begin
    while i < end:
        skipped = _citation(codes, kinds, i, end)
        if not skipped:
            line[n], line_kinds[n] = codes[i], kinds[i]
            n += 1
        i += max(skipped, 1)
    if num_words < min_words or (needs_mark and not _ends_well(line, n)):
        return -1
    return n


@kernel
def _citation(codes: Array, kinds: Array, i: int, end: int) -> int:
    """The length of ``[12]``, ``[]``, ``[edit]`` or ``[citation needed]`` at ``i``, or 0."""
    if codes[i] != 0x5B:
        return 0
    j = i + 1
    while j < end and kinds[j] & DIGIT:
        j += 1
    if j < end and codes[j] == 0x5D:
        return j + 1 - i
    for word in ("edit]", "citation needed]"):
        is_here = i + 1 + len(word) <= end
        for k in range(len(word)):
            is_here = is_here and codes[i + 1 + k] == ord(word[k])
        if is_here:
            return len(word) + 1
    return 0


@kernel
def _ends_well(line: Array, n: int) -> bool:
    """Whether it ends in a terminal mark or a quotation mark, and not in three dots."""
    if n == 0:
        return False
    last = line[n - 1]
    if n > 2 and last == _DOT and line[n - 2] == _DOT and line[n - 3] == _DOT:
        return False
    return bool(last == _DOT or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27)


@kernel
def _find_phrases(line: Array, n: int, phrases: Array, ends: Array) -> int:
    """The lowest number of a phrase that stands in the line, whatever its case (ASCII), or -1."""
    found = -1
    for i in range(n):
        code = line[i] | np.uint32(0x20)
        begin = 0
        for number in range(len(ends)):
            if code == phrases[begin] and (found < 0 or number < found):
                j = begin
                while j < ends[number] and i + j - begin < n and _lower(line[i + j - begin]) == phrases[j]:
                    j += 1
                if j == ends[number]:
                    found = number
            begin = ends[number]
    return found


@kernel
def _lower(code: np.uint32) -> np.uint32:
    return code | np.uint32(0x20) if np.uint32(0x41) <= code <= np.uint32(0x5A) else code


@kernel
def _has_brace(line: Array, n: int) -> bool:
    for i in range(n):
        if line[i] == 0x7B:
            return True
    return False


@kernel
def _num_sentences(kinds: Array, words: Array, w: int) -> int:
    """As spaCy's sentencizer: a sentence ends before the first word after a terminal mark that is no punctuation."""
    sentences, is_over = int(w > 0), False
    for i in range(w):
        begin, end = words[i, 0], words[i, 1]
        is_mark = end - begin == 1 and (kinds[begin] & TERMINAL) != 0
        is_punctuation = True
        for j in range(begin, end):
            is_punctuation &= (kinds[j] & PUNCTUATION) != 0
        if is_over and not is_punctuation and not is_mark:
            sentences, is_over = sentences + 1, False
        elif is_mark:
            is_over = True
    return sentences


@kernel
def _encode(line: Array, n: int, out: Array, size: int) -> int:
    """Write code points as UTF-8; returns the new size."""
    for i in range(n):
        code = line[i]
        if code < 0x80:
            out[size] = code
            size += 1
            continue
        more = 1 if code < 0x800 else 2 if code < 0x10000 else 3
        lead = 0xC0 if more == 1 else 0xE0 if more == 2 else 0xF0
        out[size] = lead | (code >> np.uint32(6 * more))
        for j in range(more):
            out[size + 1 + j] = 0x80 | ((code >> np.uint32(6 * (more - 1 - j))) & np.uint32(0x3F))
        size += more + 1
    return size
