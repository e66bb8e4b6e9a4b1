"""Which texts repeat what a model is tested on, by runs of 13 words (Brown et al. 2020, appendix C).

In: evaluation sets that params.yaml pins, and the corpus' own held-out documents. Out: tables of grams, and for each
text how many of its grams stand in them. In between: one gram of a pinned set is enough to drop a text; of our own
held-out documents, whose kind is ours, a training text must share a part of its grams. Pinned texts of fewer words than
a gram are not found. Where held-out grams are many, a part of them chosen by their hash stands for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.core.errors import InputError
from components.core.pinned import PinnedFile
from components.preprocess.signatures import ALL, Array, collect_grams, make_table, read_words

# Grams of held-out documents to hold, 64 MiB in an open table.
MOST_GRAMS = 1 << 22


def grams_of_sets(sets: Sequence[PinnedFile], size: int) -> Array:
    """The table of all grams of the pinned evaluation sets. Raises InputError for one that is not what was pinned."""
    texts = [text for pinned in sets for text in _texts(pinned)]
    return make_table(collect_grams(read_words(pa.chunked_array([pa.array(texts, pa.large_string())])), size))


def mask_for(num_grams: int) -> np.uint64:
    """The bits of a gram that must be zero for it to stand for all; none while there are few."""
    return np.uint64((1 << max(0, (num_grams // MOST_GRAMS).bit_length())) - 1)


def join_grams(parts: Sequence[Path], mask: np.uint64) -> Array:
    """The table of the grams in files that each hold those of some documents."""
    found = [grams[grams & mask == ALL] for grams in map(np.load, parts)]
    return make_table(np.concatenate([np.empty(0, np.uint64), *found]))


def _texts(pinned: PinnedFile) -> Iterator[str]:
    """The texts of a set: every text in the values of a ``.jsonl`` file, or the whole of any other."""
    try:
        text = pinned.read().decode("utf-8")
        if not pinned.path.endswith(".jsonl"):
            yield text
            return
        for line in text.splitlines():
            yield from _strings(json.loads(line))
    except ValueError as error:
        raise InputError(pinned.path, found=str(error), expected="UTF-8, in JSON lines for .jsonl",
                         fix="write it anew and pin that") from None  # fmt: skip


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(inner)
