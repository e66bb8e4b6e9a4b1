"""What a reader finds: a text, or the reason why there is none.

In: a position inside a source. Out: items, each of which becomes a document or a reject. In between: whatever a
reader meets is one item, so that nothing is dropped uncounted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

# Reasons that the config asked for, or that lie in the nature of a source; every other one is a fault of it.
TOO_SHORT, NOT_TEXT, REDIRECT, OTHER_NAMESPACE, NO_PROSE = (
    "too_short", "not_text", "redirect", "other_namespace", "no_prose"
)  # fmt: skip
UNREADABLE = "unreadable"
EXPECTED = frozenset({TOO_SHORT, NOT_TEXT, REDIRECT, OTHER_NAMESPACE, NO_PROSE})


@dataclass(frozen=True)
class Item:
    """One text of a source, or a reject when ``reason`` is set.

    Attributes:
        position: where it stands in its source; unique there and stable over versions.
        text: the text, or as much of it as can be shown.
        meta: facts about it that its source knows.
        reason: short name of why it is rejected; empty for a good one.
        detail: the value that was found and the limit that it broke.
    """

    position: str
    text: str
    meta: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    detail: str = ""


def examine(item: Item, max_document_bytes: int) -> Item:
    """``item`` itself, or rejected when its text is no text, is empty or is too large."""
    if item.reason:
        return item
    try:
        num_bytes = len(item.text.encode())
    except UnicodeEncodeError as error:
        shown = item.text.encode("utf-8", "backslashreplace").decode()
        detail = f"half a surrogate pair at character {error.start}"
        return replace(item, text=shown, reason="wrong_encoding", detail=detail)
    if not item.text.strip():
        return replace(item, reason="empty", detail=f"{len(item.text)} characters, all of them blank")
    if num_bytes > max_document_bytes:
        return replace(item, reason="too_large", detail=f"{num_bytes:,} bytes, at most {max_document_bytes:,}")
    return item
