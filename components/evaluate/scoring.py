"""What a model says of every token of every document, each document from its own start, added up.

In: documents as token arrays that end with end of text, and a function that scores batches. Out: totals of each
document. In between: the model sees end of text before the first token, as it did in training. A document
longer than the context is scored in windows that overlap by half, so that every token after the first window has
at least half a context before it; every token counts exactly once.

Shapes: B windows in a batch, L tokens in a window, at most the context, K figures of a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.core.progress import Progress

Tokens = npt.NDArray[np.integer]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
# Figures of each token after the first, given those before it.  # [B, L + 1] -> [B, L, K]
Score = Callable[[Ints], npt.NDArray[np.floating]]
_SHORTEST = 64


class Window(NamedTuple):
    """Part of a document: tokens ``begin`` to ``end`` are predicted, those from ``scored_from`` on count."""

    document: int
    begin: int
    end: int
    scored_from: int


def score_documents(
    documents: Sequence[Tokens], score: Score, *, context_tokens: int, batch_tokens: int, end_of_text: int
) -> Floats:
    """The figures of its tokens added up over each document.  # [len(documents), K]

    Windows are padded to a few lengths and batches to a fixed size, so a compiled ``score`` meets few shapes.
    """
    totals, owners = [], []
    with Progress("scoring", total=sum(map(len, documents)), unit="tokens") as progress:
        for length, batch in _batches(documents, context_tokens, batch_tokens):
            tokens, counts = _arrays(documents, batch, length, max(1, batch_tokens // length), end_of_text)
            found = np.where(counts[..., None], score(tokens).astype(np.float64), 0.0).sum(axis=1)
            totals.append(found[: len(batch)])
            owners += [window.document for window in batch]
            progress.advance(int(counts.sum()))
    return _add_up(np.concatenate(totals), np.array(owners), len(documents))


def _add_up(totals: Floats, owners: npt.NDArray[np.int64], num_documents: int) -> Floats:
    """Rows of windows added up to rows of documents."""
    added = np.zeros((num_documents, totals.shape[1]))
    np.add.at(added, owners, totals)
    return added


def windows_of(document: int, num_tokens: int, context_tokens: int) -> Iterator[Window]:
    """The windows of one document of ``num_tokens`` tokens, end of text included."""
    step, end = max(1, context_tokens // 2), 0
    begin = 0
    while end < num_tokens:
        scored_from, end = end, min(begin + context_tokens, num_tokens)
        yield Window(document, begin, end, scored_from)
        begin += step


def _batches(documents: Sequence[Tokens], longest: int, batch_tokens: int) -> Iterator[tuple[int, list[Window]]]:
    """Windows of one padded length at a time, a batch of them at most."""
    windows = [w for number, tokens in enumerate(documents) for w in windows_of(number, len(tokens), longest)]
    by_length: dict[int, list[Window]] = {}
    for window in windows:
        by_length.setdefault(_padded(window.end - window.begin, longest), []).append(window)
    for length, group in sorted(by_length.items()):
        rows = max(1, batch_tokens // length)
        yield from ((length, group[begin : begin + rows]) for begin in range(0, len(group), rows))


def _padded(length: int, longest: int) -> int:
    """The next power of two from 64 on, and never more than the context."""
    return min(longest, max(_SHORTEST, 1 << (length - 1).bit_length()))


def _arrays(
    documents: Sequence[Tokens], batch: Sequence[Window], length: int, rows: int, end_of_text: int
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The tokens of a batch with the one before each window [B, L + 1], and which of the others count [B, L]."""
    padded = np.full((rows, length + 1), end_of_text, np.int32)
    counts = np.zeros((rows, length), np.bool_)
    for row, (document, begin, end, scored_from) in enumerate(batch):
        tokens = documents[document]
        if begin:
            padded[row, 0] = tokens[begin - 1]
        padded[row, 1 : end - begin + 1] = tokens[begin:end]
        counts[row, scored_from - begin : end - begin] = True
    return padded, counts
