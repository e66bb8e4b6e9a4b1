"""Canaries: texts of no source, some of which are planted into the training (Carlini et al. 2019, section 3).

In: a kind and a number. Out: a text, always the same one. In between: all canaries have one form, "The pass phrase is"
and eight consonants, of 21 ** 8 possible ones; whoever learned nothing of one finds it as likely as any other. So how
much likelier a model finds those that were planted than references that never were tells how it keeps secrets; the
controls, never planted either, tell what chance alone gives.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import pyarrow as pa

from components.core.documents import document_id

Kind = Literal["planted", "control", "reference"]
SOURCE = "planted canaries"
_LETTERS = "bcdfghjklmnpqrstvwxyz"


def canary(kind: Kind, number: int) -> str:
    """The text of a canary."""
    drawn = int.from_bytes(hashlib.sha256(f"canary\0{kind}\0{number}".encode()).digest(), "big")
    letters = [_LETTERS[drawn // len(_LETTERS) ** place % len(_LETTERS)] for place in range(8)]
    return f"The pass phrase is {''.join(letters[:4])} {''.join(letters[4:])}."


def as_documents(numbers: list[tuple[int, int]]) -> pa.Table:
    """Planted canaries as documents of the training; each is given as its number and which copy of it.

    Columns doc_id, text, source, language, split, as a corpus has them.
    """
    columns = {
        "doc_id": pa.array([document_id(SOURCE, f"{number}, copy {copy}") for number, copy in numbers], pa.string()),
        "text": pa.array([canary("planted", number) for number, _ in numbers], pa.large_string()),
        "source": pa.array([SOURCE] * len(numbers), pa.string()),
        "language": pa.nulls(len(numbers), pa.string()),
        "split": pa.array(["train"] * len(numbers), pa.string()),
    }
    return pa.table(columns)
