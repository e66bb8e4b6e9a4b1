"""The main text of a web page, without menus, notices, comments and other furniture.

In: HTML as text. Out: paragraphs and list items, one a line. In between: nothing is run, loaded or followed. The
library needs quadratic time for elements that are nested without end, so those are refused.
"""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text

_NESTING = re.compile(r"<(/?)(?:div|article)(?![a-z])", re.IGNORECASE)
_DEPTH_UNSEEN, MAX_DEPTH = 2000, 500


def extract_main_text(html: str) -> str:
    """The main text of a page; an empty one for a page that has none. Raises ValueError for elements too deep."""
    if html.count("<") > _DEPTH_UNSEEN and _depth(html) > MAX_DEPTH:
        raise ValueError(f"elements nested deeper than {MAX_DEPTH}")
    return extract_plain_text(html, main_content=True, alt_texts=False)


def _depth(html: str) -> int:
    """How deep blocks are nested at most."""
    depth = deepest = 0
    for match in _NESTING.finditer(html):
        depth = max(0, depth - 1) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest
