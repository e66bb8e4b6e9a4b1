"""Texts without the lines that C4 leaves out, in compiled loops.

In: code points, kinds and words of a text. Out: those of the text that remains, in the same place. In between: linear
in the text; words that were cut for other rules are used again, but for lines that lose a citation.

Shapes: as in ``components.preprocess.words``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.core.compiling import kernel
from components.preprocess.characters import DIGIT, LINE, PUNCTUATION, SPACE, TERMINAL, Tables
from components.preprocess.rules.c4 import CURLY_BRACKET, LOREM_IPSUM
from components.preprocess.words import Array, split_words

_DOT, _NEWLINE, _BRACKET, _BRACE = 0x2E, 0x0A, 0x5B, 0x7B
_ASCII = np.uint32(0x7F)
_EDIT, _NEEDED = tuple(map(ord, "edit]")), tuple(map(ord, "citation needed]"))


class LineRules(NamedTuple):
    """Thresholds of C4, and its phrases: lower-case ASCII one after the other, ``ends`` where each ends.

    ``firsts`` and ``seconds`` have a bit for each phrase that has a character there, so that few places are compared.
    """

    phrases: Array
    ends: Array
    firsts: Array
    seconds: Array
    min_words: int
    max_word: int
    needs_mark: bool
    bans_brace: bool


def make_rules(phrases: Sequence[str], min_words: int, max_word: int, needs_mark: bool, bans_brace: bool) -> LineRules:
    """The rules as the kernel takes them; the first phrase condemns the text, the others their line."""
    starts = np.zeros((2, 128), np.uint32)
    for number, phrase in enumerate(phrases):
        for place in (0, 1):
            starts[place, [ord(phrase[place]), ord(phrase[place].upper())]] |= 1 << number
    codes = np.frombuffer("".join(phrases).encode(), np.uint8).astype(np.uint32)
    ends = np.cumsum([len(phrase) for phrase in phrases])
    return LineRules(codes, ends, starts[0], starts[1], min_words, max_word, needs_mark, bans_brace)


@kernel
def keep_lines(codes: Array, kinds: Array, n: int, words: Array, w: int, tables: Tables, line_words: Array,
               line_hashes: Array, rules: LineRules) -> tuple[int, int, int]:  # fmt: skip
    """C4 (Raffel et al. 2020, section 2.2), as datatrove does it: move the lines that stay to the front of the arrays.

    Returns how many characters and words stay, and how many sentences, or LOREM_IPSUM or CURLY_BRACKET for a text
    that goes as a whole (then nothing stays).
    """
    size, num_words, sentences, start, last = 0, 0, 0, 0, 0
    for i in range(n + 1):
        if (i < n and not kinds[i] & LINE) or (i == n and start == n):
            continue
        first, start = last, i + 1
        while last < w and words[last, 0] < i:
            last += 1
        if not _has_words(words, first, last, rules.min_words, rules.max_word):
            continue
        begin, end = (words[first, 0], words[last - 1, 1]) if first < last else (i, i)
        to = size + 1 if size else 0
        after = _move_line(codes, kinds, begin, end, to)
        if rules.needs_mark and not _ends_well(codes, to, after):
            continue
        found = _find_phrases(codes, to, after, rules)
        if found == 0:
            return 0, 0, LOREM_IPSUM
        if rules.bans_brace and found != 1 and _has_brace(codes, to, after):
            return 0, 0, CURLY_BRACKET
        if found > 0:
            continue
        if after - to == end - begin:
            num_words, sentences = num_words + last - first, sentences + _num_sentences(words, first, last)
        else:
            here = split_words(codes, kinds, to, after, tables, line_words, line_hashes)
            num_words, sentences = num_words + here, sentences + _num_sentences(line_words, 0, here)
        if size:
            codes[size], kinds[size] = _NEWLINE, SPACE | LINE
        size = after
    return size, num_words, sentences


@kernel
def _has_words(words: Array, first: int, last: int, min_words: int, max_word: int) -> bool:
    """Whether a line has enough words and none too long, where only spaces end a word."""
    num, begin = 0, 0
    for k in range(first, last):
        if k == first or words[k, 0] != words[k - 1, 1]:
            num, begin = num + 1, words[k, 0]
        if words[k, 1] - begin > max_word:
            return False
    return num >= min_words


@kernel
def _move_line(codes: Array, kinds: Array, begin: int, end: int, to: int) -> int:
    """Move a line to the front, without its citations; returns where it ends there."""
    i = begin
    while i < end:
        skipped = _citation(codes, kinds, i, end) if codes[i] == _BRACKET else 0
        if not skipped:
            codes[to], kinds[to] = codes[i], kinds[i]
            to += 1
        i += max(skipped, 1)
    return to


@kernel
def _citation(codes: Array, kinds: Array, i: int, end: int) -> int:
    """The length of ``[12]``, ``[]``, ``[edit]`` or ``[citation needed]`` at ``i``, or 0."""
    j = i + 1
    while j < end and kinds[j] & DIGIT:
        j += 1
    if j < end and codes[j] == 0x5D:
        return j + 1 - i
    if _stands_at(codes, i + 1, end, _EDIT):
        return len(_EDIT) + 1
    return len(_NEEDED) + 1 if _stands_at(codes, i + 1, end, _NEEDED) else 0


@kernel
def _stands_at(codes: Array, at: int, end: int, word: tuple[int, ...]) -> bool:
    if at + len(word) > end:
        return False
    for k in range(len(word)):
        if codes[at + k] != word[k]:
            return False
    return True


@kernel
def _ends_well(codes: Array, begin: int, end: int) -> bool:
    """Whether it ends in a terminal mark or a quotation mark, and not in three dots."""
    if begin == end:
        return False
    last = codes[end - 1]
    if end - begin > 2 and last == _DOT and codes[end - 2] == _DOT and codes[end - 3] == _DOT:
        return False
    return bool(last == _DOT or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27)


@kernel
def _find_phrases(codes: Array, begin: int, end: int, rules: LineRules) -> int:
    """The lowest number of a phrase that stands in the line, whatever its case (ASCII), or -1."""
    found = -1
    for i in range(begin, end - 1):
        candidates = rules.firsts[codes[i] & _ASCII] & rules.seconds[codes[i + 1] & _ASCII]
        number = 0
        while candidates >> np.uint32(number):
            is_better = found < 0 or number < found
            if candidates >> np.uint32(number) & np.uint32(1) and is_better and _is_at(codes, i, end, number, rules):
                found = number
            number += 1
    return found


@kernel
def _is_at(codes: Array, i: int, end: int, number: int, rules: LineRules) -> bool:
    begin, after = rules.ends[number - 1] if number else 0, rules.ends[number]
    if i + after - begin > end:
        return False
    for j in range(after - begin):
        if _lower(codes[i + j]) != rules.phrases[begin + j]:
            return False
    return True


@kernel
def _lower(code: np.uint32) -> np.uint32:
    return code | np.uint32(0x20) if np.uint32(0x41) <= code <= np.uint32(0x5A) else code


@kernel
def _has_brace(codes: Array, begin: int, end: int) -> bool:
    for i in range(begin, end):
        if codes[i] == _BRACE:
            return True
    return False


@kernel
def _num_sentences(words: Array, first: int, last: int) -> int:
    """As spaCy's sentencizer: a sentence ends before the first word after a terminal mark that is no punctuation."""
    sentences, is_over = int(last > first), False
    for i in range(first, last):
        is_mark = words[i, 1] - words[i, 0] == 1 and (words[i, 2] & TERMINAL) != 0
        if is_over and not words[i, 2] & PUNCTUATION and not is_mark:
            sentences, is_over = sentences + 1, False
        elif is_mark:
            is_over = True
    return sentences


@kernel
def encode(codes: Array, n: int, out: Array, size: int) -> int:
    """Write code points as UTF-8; returns the new size."""
    for i in range(n):
        code = codes[i]
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
