"""What one document and one compressed file may take, as the readers are told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """In bytes of UTF-8: one document, and all that one compressed file or archive expands to."""

    max_document_bytes: int
    max_expanded_bytes: int
