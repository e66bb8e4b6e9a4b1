"""Which split a text belongs to, decided by the text alone.

In: digests of normalised texts, a seed and shares. Out: ``train``, ``validation`` or ``test`` for each. In between:
equal texts fall into the same split, on every machine and whatever else is in the corpus, so growing a corpus moves
no document between splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SPLITS = ("train", "validation", "test")
_SPLIT_RANGE = 1 << 64


def assign_splits(digests: Iterable[bytes], *, seed: int, validation_share: float, test_share: float) -> list[str]:
    """The split of each digest: a uniform hash in [0, 1) below ``test_share`` is test, then validation, else train."""
    test_end = int(test_share * _SPLIT_RANGE)
    validation_end = test_end + int(validation_share * _SPLIT_RANGE)
    splits = []
    for digest in digests:
        place = _place(digest, seed)
        splits.append("test" if place < test_end else "validation" if place < validation_end else "train")
    return splits


def _place(digest: bytes, seed: int) -> int:
    """A whole number in [0, 2**64), uniform over digests and independent between seeds."""
    return int.from_bytes(hashlib.sha256(seed.to_bytes(8, "big") + digest).digest()[:8], "big")
