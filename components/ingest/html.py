"""The main text of a web page, without menus, notices, comments and other furniture.

In: HTML as text. Out: paragraphs and list items, one a line. In between: nothing is run, loaded or followed.
resiliparse leaves out what is furniture by its place and name; what it leaves is narrowed to the element whose
paragraphs hold most of the words, unless much of the text would be lost with the rest. The library needs quadratic
time for blocks that are nested without end, so those are refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

# Names that furniture goes by, beside those that the library knows; found on the pages of the tune half.
_FURNITURE = [
    *(f'[class*="{word}"]' for word in (
        "comment", "related", "share", "newsletter", "subscribe", "promo", "author-bio", "recommend", "caption",
        "disqus", "respond",
    )),
    '[id*="comment"]', "figcaption", "aside",
]  # fmt: skip
_NESTING = re.compile(r"<(/?)(?:div|article)(?![a-z])", re.IGNORECASE)
_DEPTH_UNSEEN, MAX_DEPTH = 2000, 500
_PARAGRAPH_CHARACTERS = 25
_GRANDPARENT_WEIGHT, _KEPT_SHARE = 0.7, 0.7


def extract_main_text(html: str) -> str:
    """The main text of a page; an empty one for a page that has none. Raises ValueError for elements too deep."""
    if html.count("<") > _DEPTH_UNSEEN and _depth(html) > MAX_DEPTH:
        raise ValueError(f"elements nested deeper than {MAX_DEPTH}")
    tree = HTMLTree.parse(html)
    whole = _plain(tree)
    element = _find_densest(tree)
    inner = _plain(HTMLTree.parse(element.html)) if element is not None else ""
    return inner if len(inner) > _KEPT_SHARE * len(whole) else whole


def _plain(tree: HTMLTree) -> str:
    return extract_plain_text(tree, main_content=True, alt_texts=False, skip_elements=_FURNITURE)


def _find_densest(tree: HTMLTree) -> Any:
    """The element that holds most characters of paragraphs, its children's as they are and its grandchildren's less.

    Elements of one kind (tag, class, id and the parent's) count together: some pages wrap every paragraph.
    """
    weights: dict[tuple[str, ...], float] = defaultdict(float)
    elements: dict[tuple[str, ...], Any] = {}
    for paragraph in tree.body.query_selector_all("p") if tree.body else ():
        length = len((paragraph.text or "").strip())
        parent = paragraph.parent
        for weight, element in ((1.0, parent), (_GRANDPARENT_WEIGHT, parent.parent if parent else None)):
            if length >= _PARAGRAPH_CHARACTERS and element is not None and element.tag not in ("html", "#document"):
                kind = (*_kind(element), *_kind(element.parent))
                weights[kind] += weight * length
                elements[kind] = element
    return elements[max(weights, key=weights.__getitem__)] if weights else None


def _kind(element: Any) -> tuple[str, str, str]:
    return element.tag, element.getattr("class", ""), element.getattr("id", "")


def _depth(html: str) -> int:
    """How deep blocks are nested at most."""
    depth = deepest = 0
    for match in _NESTING.finditer(html):
        depth = max(0, depth - 1) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest
