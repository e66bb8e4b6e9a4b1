"""Characters and words of one text, in compiled loops over UTF-8 bytes.

In: bytes of a text, the tables of ``components.preprocess.characters``. Out: code points, their kinds, and words as
spaCy's English tokenizer cuts them. In between: no Python object is touched, and every loop is linear in the text: a
word is looked at a fixed number of times. A character is a code point, as it is for Python's ``len``.

Shapes: n characters, w words; ``codes`` (n,) and ``kinds`` (n,) of a text; ``words`` (w, 3) holds begin, end and
traits of each word, ``hashes`` (w,) its 64-bit hash. Traits are the kinds that all of its characters share, and ALPHA
where one of them is a letter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.core.compiling import kernel
from components.preprocess.characters import (
    AFFIX,
    ALPHA,
    CURRENCY,
    DIGIT,
    ICON,
    LONGEST_SPECIAL,
    LOWER,
    QUOTE,
    SPACE,
    UPPER,
    Tables,
)

Array = Any  # Numba finds the types; annotations say what a reader should expect

SEED = np.uint64(0x9E3779B97F4A7C15)
_PRIME, _HALF = np.uint64(0xFF51AFD7ED558CCD), np.uint64(32)
_ALL_KINDS = (1 << 16) - 1
_DOT, _HYPHEN, _HASH, _ELLIPSIS = 0x2E, 0x2D, 0x23, 0x2026
_ALPHANUMERIC = ALPHA | DIGIT


@kernel
def decode(data: Array, begin: int, end: int, table: Array, codes: Array, kinds: Array) -> int:
    """Code points of valid UTF-8 and their kinds; returns how many."""
    n = 0
    while begin < end:
        code, more = np.uint32(data[begin]), 0
        if code < 0x80:
            codes[n], kinds[n] = code, table[code]
            n, begin = n + 1, begin + 1
            continue
        if code >= 0xF0:
            code, more = code & np.uint32(0x07), 3
        elif code >= 0xE0:
            code, more = code & np.uint32(0x0F), 2
        elif code >= 0xC0:
            code, more = code & np.uint32(0x1F), 1
        for i in range(more):
            code = (code << np.uint32(6)) | (data[begin + i + 1] & np.uint32(0x3F))
        begin += more + 1
        codes[n], kinds[n] = code, table[code]
        n += 1
    return n


@kernel
def hash_characters(codes: Array, begin: int, end: int) -> np.uint64:
    value = SEED
    for i in range(begin, end):
        value = (value ^ np.uint64(codes[i])) * _PRIME
    return value ^ value >> _HALF


@kernel
def hash_piece(codes: Array, begin: int, end: int) -> np.uint64:
    """The hash of a line or a paragraph: four chains side by side, since one would wait for its multiplications."""
    one, two, three, four = SEED, SEED, SEED, SEED
    i = begin
    while i + 4 <= end:
        one, two = (one ^ np.uint64(codes[i])) * _PRIME, (two ^ np.uint64(codes[i + 1])) * _PRIME
        three, four = (three ^ np.uint64(codes[i + 2])) * _PRIME, (four ^ np.uint64(codes[i + 3])) * _PRIME
        i += 4
    while i < end:
        one = (one ^ np.uint64(codes[i])) * _PRIME
        i += 1
    value = ((one * _PRIME ^ two) * _PRIME ^ three) * _PRIME ^ four
    return value ^ value >> _HALF


@kernel
def split_words(codes: Array, kinds: Array, begin: int, n: int, tables: Tables, words: Array, hashes: Array) -> int:
    """Words between ``begin`` and ``n`` as spaCy's English tokenizer cuts them; returns how many."""
    w = 0
    while begin < n:
        if kinds[begin] & SPACE:
            begin += 1
            continue
        end, common, key = begin, _ALL_KINDS, SEED
        while end < n and not kinds[end] & SPACE:
            common &= kinds[end]
            key = (key ^ np.uint64(codes[end])) * _PRIME
            end += 1
        key ^= key >> _HALF
        cuts = _special(key, end - begin, tables)
        if not cuts and (common & ALPHA or end - begin == 1):
            words[w, 0], words[w, 1], words[w, 2], hashes[w] = begin, end, common, key
            w += 1
        else:
            w = _split_chunk(codes, kinds, begin, end, cuts, tables, words, hashes, w)
        begin = end
    return w


@kernel
def _split_chunk(codes: Array, kinds: Array, begin: int, end: int, cuts: int, tables: Tables, words: Array,
                 hashes: Array, w: int) -> int:  # fmt: skip
    """Cut what stands between two spaces: affixes from outside in, then special words, addresses, infixes."""
    suffix_words = 0
    while begin < end and not cuts:
        prefix = _prefix(codes, kinds, begin, end)
        suffix = _suffix(codes, kinds, begin + prefix, end, tables.units)
        if prefix + suffix == 0:
            break
        if prefix and begin + prefix < end:
            cuts = _special_between(codes, begin + prefix, end, tables)
            suffix = 0 if cuts else suffix
        if prefix:
            w = _add(codes, kinds, begin, begin + prefix, words, hashes, w)
            begin += prefix
        if suffix and begin + suffix <= end:
            # Suffixes are found from the outside in: they wait at the far end of the arrays.
            suffix_words += 1
            words[len(words) - suffix_words, 0], words[len(words) - suffix_words, 1] = end - suffix, end
            end -= suffix
        if not cuts and begin < end:
            cuts = _special_between(codes, begin, end, tables)
    if cuts:
        while cuts:
            w = _add(codes, kinds, begin, begin + (cuts & 0xFF), words, hashes, w)
            begin += cuts & 0xFF
            cuts >>= 8
    elif begin < end:
        if end - begin == 1 or _is_address(codes, kinds, begin, end):
            w = _add(codes, kinds, begin, end, words, hashes, w)
        else:
            w = _split_infixes(codes, kinds, begin, end, words, hashes, w)
    for i in range(suffix_words, 0, -1):
        w = _add(codes, kinds, words[len(words) - i, 0], words[len(words) - i, 1], words, hashes, w)
    return w


@kernel
def _add(codes: Array, kinds: Array, begin: int, end: int, words: Array, hashes: Array, w: int) -> int:
    common, some, value = _ALL_KINDS, 0, SEED
    for i in range(begin, end):
        common, some = common & kinds[i], some | kinds[i]
        value = (value ^ np.uint64(codes[i])) * _PRIME
    words[w, 0], words[w, 1], words[w, 2], hashes[w] = begin, end, common | some & ALPHA, value ^ value >> _HALF
    return w + 1


@kernel
def _special(key: np.uint64, length: int, tables: Tables) -> int:
    """The packed lengths of a special word's pieces, or 0."""
    if length > LONGEST_SPECIAL:
        return 0
    keys = tables.keys
    mask = len(keys) - 1
    slot = np.int64(key & np.uint64(mask))
    while keys[slot]:
        if keys[slot] == key:
            return int(tables.pieces[slot])
        slot = (slot + 1) & mask
    return 0


@kernel
def _special_between(codes: Array, begin: int, end: int, tables: Tables) -> int:
    """The same for characters; what is too long is not even hashed, so a row of affixes takes linear time."""
    if end - begin > LONGEST_SPECIAL:
        return 0
    return _special(hash_characters(codes, begin, end), end - begin, tables)


@kernel
def _prefix(codes: Array, kinds: Array, begin: int, end: int) -> int:
    """How many characters are cut off the front."""
    code, next_kind = codes[begin], kinds[begin + 1] if begin + 1 < end else 0
    if code == _DOT:
        return _run_of_dots(codes, begin, end)
    is_sign = code == 0xA7 or code == 0x25 or code == 0x3D or (code == 0x2B and not next_kind & DIGIT)
    return 1 if kinds[begin] & (AFFIX | CURRENCY) or is_sign else 0


@kernel
def _run_of_dots(codes: Array, begin: int, end: int) -> int:
    i = begin
    while i < end and codes[i] == _DOT:
        i += 1
    return i - begin if i - begin > 1 else 0


@kernel
def _suffix(codes: Array, kinds: Array, begin: int, end: int, units: Array) -> int:
    """How many characters are cut off the end."""
    if begin >= end:
        return 0
    last, kind, before = codes[end - 1], kinds[end - 1], kinds[end - 2] if end - begin > 1 else 0
    if last == _DOT:
        return _suffix_of_dots(codes, kinds, begin, end)
    if (last == 0x73 or last == 0x53) and end - begin > 1 and (codes[end - 2] == 0x27 or codes[end - 2] == 0x2019):
        return 2
    if kind & AFFIX or (before & DIGIT and (last == 0x2B or kind & CURRENCY)):
        return 1
    start = end
    while start > begin and end - start < 4 and not kinds[start - 1] & DIGIT:
        start -= 1
    if begin < start < end and kinds[start - 1] & DIGIT:
        key = hash_characters(codes, start, end)
        for unit in units:
            if unit == key:
                return end - start
    return 0


@kernel
def _suffix_of_dots(codes: Array, kinds: Array, begin: int, end: int) -> int:
    start = end
    while start > begin and codes[start - 1] == _DOT:
        start -= 1
    if end - start > 1 or start == begin:
        return end - start if end - start > 1 else 0
    before, code = kinds[start - 1], codes[start - 1]
    is_mark = code == 0x25 or code == 0xB2 or code == _HYPHEN or code == 0x2B or code == _ELLIPSIS
    if before & (DIGIT | LOWER | AFFIX | QUOTE) or is_mark:
        return 1
    return 1 if start - begin > 1 and before & UPPER and kinds[start - 2] & UPPER else 0


@kernel
def _is_address(codes: Array, kinds: Array, begin: int, end: int) -> bool:
    """Whether it looks like ``[scheme://][user@]host.tld[:port][/path]``."""
    for i in range(begin + 2, end - 2):
        if codes[i] == 0x3A and codes[i + 1] == 0x2F and codes[i + 2] == 0x2F:
            begin = i + 3
            break
    for i in range(begin + 1, end):
        if codes[i] == 0x40:
            begin = i + 1
            break
    dot, i = -1, begin
    while i < end and (kinds[i] & _ALPHANUMERIC or codes[i] == _HYPHEN or codes[i] == 0x5F or codes[i] == _DOT):
        if codes[i] == _DOT:
            if i == begin or codes[i - 1] == _DOT:
                return False
            dot = i
        i += 1
    if dot < 0 or i - dot < 3 or (i < end and not _ends_host(codes, i)):
        return False
    for j in range(dot + 1, i):
        if not kinds[j] & LOWER:
            return False
    return True


@kernel
def _ends_host(codes: Array, i: int) -> bool:
    return bool(codes[i] == 0x2F or codes[i] == 0x3F or codes[i] == _HASH or codes[i] == 0x3A)


@kernel
def _split_infixes(codes: Array, kinds: Array, begin: int, end: int, words: Array, hashes: Array, w: int) -> int:
    start, i = begin, begin
    while i < end:
        infix = _infix(codes, kinds, begin, i, end)
        if infix and i > begin:
            if i > start:
                w = _add(codes, kinds, start, i, words, hashes, w)
            w = _add(codes, kinds, i, i + infix, words, hashes, w)
            start = i + infix
        i += max(infix, 1)
    return _add(codes, kinds, start, end, words, hashes, w) if start < end else w


@kernel
def _infix(codes: Array, kinds: Array, begin: int, i: int, end: int) -> int:
    """The length of an infix at ``i``, or 0."""
    code, kind = codes[i], kinds[i]
    if kind & ALPHA or kind & DIGIT:
        return 0
    if code == _ELLIPSIS or kind & ICON:
        return 1
    if code == _DOT and i + 1 < end and codes[i + 1] == _DOT:
        return _run_of_dots(codes, i, end)
    if i == begin or i + 1 >= end:
        return 0
    before, after, next_code = kinds[i - 1], kinds[i + 1], codes[i + 1]
    if before & DIGIT and (code == 0x2B or code == _HYPHEN or code == 0x2A or code == 0x5E):
        if after & DIGIT or next_code == _HYPHEN:
            return 1
    if code == _DOT:
        return 1 if before & (LOWER | QUOTE) and after & (UPPER | QUOTE) else 0
    if code == 0x2C:
        return 1 if before & ALPHA and after & ALPHA else 0
    if not before & _ALPHANUMERIC:
        return 0
    if code == _HYPHEN or code == 0x2013 or code == 0x2014 or code == 0x7E:
        return _hyphens(codes, kinds, i, end)
    is_relation = code == 0x3A or code == 0x3C or code == 0x3E or code == 0x3D or code == 0x2F
    return 1 if is_relation and after & ALPHA else 0


@kernel
def _hyphens(codes: Array, kinds: Array, i: int, end: int) -> int:
    """One to three hyphens, or two em dashes, before a letter."""
    most = 3 if codes[i] == _HYPHEN else 2 if codes[i] == 0x2014 else 1
    for length in range(1, most + 1):
        if i + length < end and kinds[i + length] & ALPHA:
            return length
        if i + length >= end or codes[i + length] != codes[i]:
            return 0
    return 0
