"""What kinds of characters and which special words the kernels know: plain tables, built once per process.

In: Python's Unicode data and the lists below. Out: arrays that numba takes. In between: the tables follow spaCy's
English tokenizer (spacy/lang/punctuation.py, tokenizer_exceptions.py, MIT) and datatrove's punctuation
(datatrove/utils/text.py, Apache-2.0), since the published thresholds were chosen on words cut that way.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# One bit per kind of character.
SPACE, ALPHA, UPPER, LOWER, DIGIT, SYMBOL, TERMINAL, AFFIX, QUOTE, PUNCTUATION, CURRENCY, ICON, LINE = (
    1 << bit for bit in range(13)
)
LONGEST_SPECIAL = 12
_LOOKED_AT = 0x40000  # the planes behind it hold tags, private characters and none
_NUM_SPECIAL_SLOTS = 2048  # few enough to stay in the processor's nearest cache

_TERMINALS = (
    ".?!\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b\u1362"
    "\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u17d6\u17d9\u17da\u1803\u1809\u1944\u1945\u1aa8\u1aa9\u1aaa\u1aab\u1b5a"
    "\u1b5b\u1b5e\u1b5f\u1b7d\u1b7e\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047\u2048\u2049\u2e2e\u2e3c\u2e53\u2e54\u3002"
    "\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d\uaa5e\uaa5f\uaaf0\uaaf1\uabeb\ufe52"
    "\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)
_SYMBOLS = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_AFFIXES = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪—–" + _QUOTES

_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz mph hPa Pa mbar mb MB "
    "kb KB gb GB tb TB T G M K %"
).split()
_PRONOUNS = "i you he she it we they".split()
_QUESTIONS = "who what when where why how there that this these those".split()
_NEGATED = (
    "ca could do does did had may might must need ought sha should wo would ai are is was were have has dare"
).split()
_ABBREVIATIONS = (
    "Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. "
    "Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. "
    "Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. "
    "i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s."
).split()
_WHOLE = (
    "' '' C++ <space> 'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout 'd 'em 'll 'nuff "
    "ma'am Ma'am o'clock O'clock lovin' Lovin' havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin' Nuthin' "
    "ol' Ol' somethin' Somethin' :) :-) :)) (: (-: =) (= :] :-] [: =] :} 8) 8-) ;) ;-) (; :( :-( :(( ): =( >:( :') :'( "
    ":/ :-/ =/ =| :| :-| :1 :P :-P :p :-p :O :-O :o :-o :0 :* :-* :3 :-3 :> :-> :X :x :D :-D ;D =D xD XD ^_^ >.< -_- "
    'o_o o_O O_o O_O 0_0 o.O O.o O.O o.o @_@ <3 </3 \\") \\t \\n ¯\\(ツ)/¯'
).split()
_CUT = (
    "y' all|y all|how 'd 'y|How 'd 'y|not 've|not ve|Not 've|Not ve|can not|Can not|gon na|Gon na|got ta|Got ta|"
    "let 's|Let 's|c'm on|C'm on|i 'm|I 'm|i m|I m|i 'm a|I 'm a|i m a|I m a"
).split("|")
_NEVER = frozenset("Ill ill Its its Hell hell Shell shell Shed shed were Were Well well Whore whore".split())


class Tables(NamedTuple):
    """What the kernels look up: kinds by code point, and special words by hash with the lengths of their pieces."""

    kinds: NDArray[np.uint16]
    keys: NDArray[np.uint64]
    pieces: NDArray[np.uint32]
    units: NDArray[np.uint64]


@cache
def tables() -> Tables:
    """All tables; a tenth of a second the first time."""
    keys, pieces = np.zeros(_NUM_SPECIAL_SLOTS, np.uint64), np.zeros(_NUM_SPECIAL_SLOTS, np.uint32)
    for cut in _specials():
        word, lengths = "".join(cut), sum(len(piece) << 8 * i for i, piece in enumerate(cut))
        if word in _NEVER:
            continue
        key = hash_of(word)
        slot = key % _NUM_SPECIAL_SLOTS
        while keys[slot] not in (0, key):
            slot = (slot + 1) % _NUM_SPECIAL_SLOTS
        keys[slot], pieces[slot] = key, lengths
    return Tables(_kinds(), keys, pieces, hashes_of(_UNITS))


def hash_of(word: str) -> int:
    """The 64-bit hash of a word, as ``words`` computes it: one multiplication per code point, then a shift."""
    value = 0x9E3779B97F4A7C15
    for character in word:
        value = ((value ^ ord(character)) * 0xFF51AFD7ED558CCD) & 0xFFFFFFFFFFFFFFFF
    return value ^ value >> 32


def hashes_of(words: Iterable[str]) -> NDArray[np.uint64]:
    """The hashes of several words, in their order."""
    return np.array([hash_of(word) for word in words], np.uint64)


def _kinds() -> NDArray[np.uint16]:
    kinds = np.zeros(sys.maxunicode + 1, np.uint16)
    for code in range(_LOOKED_AT):
        character = chr(code)
        category = unicodedata.category(character)
        if category not in ("Cn", "Co", "Cs"):
            kinds[code] = _kind(character, category)
    for characters, bit in ((_TERMINALS, TERMINAL | SYMBOL), (_SYMBOLS, SYMBOL), (_QUOTES, QUOTE), (_AFFIXES, AFFIX)):
        kinds[[ord(character) for character in characters]] |= bit
    return kinds


def _kind(character: str, category: str) -> int:
    is_alpha, is_cased = character.isalpha(), character.lower() != character.upper()
    return (
        SPACE * character.isspace()
        | ALPHA * is_alpha
        | UPPER * (is_alpha and (character.isupper() or not is_cased))
        | LOWER * (is_alpha and not character.isupper())
        | DIGIT * (character in "0123456789")
        | PUNCTUATION * (category[0] == "P")
        | CURRENCY * (category == "Sc")
        | (ICON | AFFIX) * (category == "So")
        | SYMBOL * (category == "Cc" and character not in "\t\n")
        | LINE * (character in "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029")
    )


def _specials() -> Iterator[list[str]]:
    """Every special word of spaCy's English tokenizer, cut into its pieces."""
    yield from ([word] for word in (*_ABBREVIATIONS, *_WHOLE))
    yield from ([f"{letter}."] for letter in "abcdefghijklmnopqrstuvwxyzäöü")
    yield from (cut.split() for cut in _CUT)
    yield from ([str(hour), half] for hour in range(1, 13) for half in ("a.m.", "am", "p.m.", "pm"))
    for word in _PRONOUNS:
        plural = [("'ve",), ("'re",)] if word in ("you", "we", "they") else [("'ve",)] if word == "i" else [("'s",)]
        yield from _contractions(word, [("'ll",), ("'ll", "'ve"), ("'d",), ("'d", "'ve"), *plural])
    for word in _QUESTIONS:
        endings = [("'s",), ("'ll",), ("'ll", "'ve"), ("'re",), ("'ve",), ("'d",), ("'d", "'ve")]
        yield from _contractions(word, endings)
    for word in _NEGATED:
        yield from _contractions(word, [("n't",), ("n't", "'ve")])
    for word in ("could", "might", "must", "should", "would"):
        yield from _contractions(word, [("'ve",)])


def _contractions(word: str, endings: Iterable[tuple[str, ...]]) -> Iterator[list[str]]:
    for start in (word, word.title()):
        for ending in endings:
            yield [start, *ending]
            yield [start, *(piece.replace("'", "") for piece in ending)]
