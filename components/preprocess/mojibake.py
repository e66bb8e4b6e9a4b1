"""Texts that were decoded with the wrong encoding, put right: ``Ã©`` becomes ``é`` again.

In: texts as Arrow strings. Out: the texts with such lines repaired, and how many texts that were. In between: the
repair is ftfy's (Speer 2019), a line at a time. Its own test of whether a text looks wrong is compiled anew for
RE2, which asks the same in linear time and much faster; where that test says no, ftfy would change nothing, so a
sound text keeps its bytes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import pyarrow as pa
import re2
from ftfy import fix_encoding
from ftfy.badness import BADNESS_RE

from components.core.strings import replaced, utf8_values


class Repaired(NamedTuple):
    """Texts in their own encoding, and how many of them had to be repaired."""

    texts: pa.Array
    num_repaired: int


def repair(texts: pa.Array) -> Repaired:
    """Repair what looks wrongly decoded in ``texts``: large strings, none of them null."""
    looks_wrong, changed = _looks_wrong(), dict[int, bytes]()
    for place, text in enumerate(utf8_values(texts)):
        if not text.isascii() and looks_wrong.search(text):
            repaired = repair_text(text.decode()).encode()
            if repaired != text:
                changed[place] = repaired
    return Repaired(replaced(texts, changed), len(changed))


def repair_text(text: str) -> str:
    """``text`` with each line that looks wrongly decoded repaired, where that is possible."""
    return "".join(fix_encoding(line) for line in re.split(r"(?<=\n)", text))


@cache
def _looks_wrong() -> Any:
    """ftfy's pattern of what betrays a wrong encoding, as RE2 writes it: no remarks, classes of Unicode by name."""
    pattern = re.sub(r"(\[[^\]]*\])|\s+|#[^\n]*", lambda match: match[1] or "", BADNESS_RE.pattern)
    for python, named in ((r"\s", r"[\s\p{Z}]"), (r"\w", r"[\p{L}\p{N}_]"), ("|^", "|(?m:^)")):
        pattern = pattern.replace(python, named)
    options = re2.Options()
    options.max_mem, options.log_errors = 64 << 20, False
    return re2.compile(pattern.encode(), options=options)
