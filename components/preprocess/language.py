"""Which language a text is in: CLD2 on its beginning, langid.py where CLD2 does not know.

In: texts as Arrow strings. Out: an ISO 639-1 code for each, ``und`` where nobody knows. In between: both read at most
``prefix_bytes`` of a text, so a long text costs no more than a page; both models come with their packages (Apache-2.0
and BSD), and equal bytes give equal codes.

On 75 languages (tests/benchmarks/cleaning.py) the two together are as accurate as the best package that was tried
and hundreds of times faster; infra/decisions/0015-languages.md has the figures.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa
import pycld2

from components.core.strings import utf8_values

UNKNOWN = "und"
# Older or narrower names of the same language.
_NAMES = {"iw": "he", "no": "nb", "jw": "jv", "sr-Latn": "sr", "zh-Hant": "zh", "un": UNKNOWN}


def identify(texts: pa.Array, prefix_bytes: int) -> list[str]:
    """The language of each text: large strings, none of them null."""
    return [identify_text(text[:prefix_bytes].decode(errors="ignore")) for text in utf8_values(texts)]


def identify_text(text: str) -> str:
    """The language of one text."""
    try:
        _, _, ranked = pycld2.detect(text, returnVectors=False)
        found = ranked[0][1]
    except pycld2.error:  # a character that CLD2 does not take
        found = "un"
    if found == "un" and not any(map(str.isalpha, text)):
        return UNKNOWN
    name = str(_second_opinion().classify(text)[0] if found == "un" else found)
    return _NAMES.get(name, name)


@cache
def _second_opinion() -> Any:
    import py3langid  # its model takes a second to unpack, and most corpora never need it

    return py3langid
