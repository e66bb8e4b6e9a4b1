"""A 5-gram model with interpolated modified Kneser-Ney smoothing: what counting alone achieves on the same data.

In: documents as token arrays, each ending with end of text. Out: the natural logarithm of each token's probability.
In between (Chen and Goodman 1999, "An empirical study of smoothing techniques", sections 3 and 4.1): the highest
order uses counts, lower orders use in how many different contexts a token was seen, each order gives up a discount
to the next lower one, and the lowest is mixed with the uniform distribution. So the probabilities of all tokens of
the vocabulary sum to one after any context, seen or not.

A context never crosses the start of a document: four end-of-text tokens stand there for what would be before.

All counting is sorting: the grams of order k are numbered, and a gram of order k + 1 is the pair of the number of
its first k tokens and its last token.

Shapes: N tokens of all documents with padding, G grams of one order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ORDER = 5
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
# What a discount is where a corpus is too small to estimate it: half a count, a whole one, one and a half.
_FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])
_UNSEEN = -1


@dataclass(frozen=True)
class _Order:
    """The grams of one order, sorted by (number of the first tokens, last token)."""

    keys: Ints  # [G] number of the first tokens * vocabulary size + last token
    shares: Floats  # [G] discounted probability given the first tokens
    backoffs: Floats  # [grams of the order below] weight of the order below after those tokens; 1 where never seen


class NGramModel:
    """Probabilities of tokens after up to four others.

    Attributes:
        num_grams: how many different grams of the highest order were seen.
    """

    def __init__(
        self,
        documents: Sequence[npt.NDArray[np.integer]],
        vocabulary_size: int,
        end_of_text: int,
        on_order: Callable[[], None] = lambda: None,
    ) -> None:
        """Count the grams of ``documents``, at least one; ``on_order`` is called after each of the five orders."""
        self._vocabulary_size, self._end_of_text = vocabulary_size, end_of_text
        tokens, is_target = _pad(documents, end_of_text)
        keys, numbers = _number_grams(tokens, vocabulary_size, on_order)
        self._orders = [
            self._smooth(keys[order], _counts(order, keys, numbers, is_target), len(keys[order - 1]) if order else 1)
            for order in range(ORDER)
        ]
        self.num_grams = int(np.count_nonzero(self._orders[-1].shares))

    def log_probabilities(self, documents: Sequence[npt.NDArray[np.integer]]) -> list[Floats]:
        """The log probability (nats) of every token of each document, end of text included."""
        if not documents:
            return []
        tokens, is_target = _pad(documents, self._end_of_text)
        ends = np.cumsum([len(document) for document in documents])
        return np.split(np.log(self._probabilities(tokens))[is_target], ends[:-1])

    def _probabilities(self, tokens: Ints) -> Floats:
        """The probability of each token after those before it.  # [N]"""
        probability = np.full(len(tokens), 1.0 / self._vocabulary_size)
        context = np.zeros(len(tokens), np.int64)
        for order in self._orders:
            known = np.maximum(context, 0)
            gram = _find(order.keys, known * self._vocabulary_size + tokens)
            gram[context == _UNSEEN] = _UNSEEN
            share = np.where(gram == _UNSEEN, 0.0, order.shares[np.maximum(gram, 0)])
            backoff = np.where(context == _UNSEEN, 1.0, order.backoffs[known])
            probability = share + backoff * probability
            context = _shift(gram)
        return probability

    def _smooth(self, keys: Ints, counts: Ints, num_contexts: int) -> _Order:
        discounts = _discounts(counts)[np.minimum(counts, 3)]
        contexts = keys // self._vocabulary_size
        totals = np.bincount(contexts, counts, num_contexts)
        given_up = np.bincount(contexts, discounts, num_contexts)
        is_seen = totals > 0
        backoffs = np.divide(given_up, totals, out=np.ones(num_contexts), where=is_seen)
        shares = (counts - discounts) / np.where(is_seen, totals, 1.0)[contexts]
        return _Order(keys, shares, backoffs)


def _pad(documents: Sequence[npt.NDArray[np.integer]], end_of_text: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """All documents in one row, four end-of-text tokens before each; and which tokens are not padding.  # [N], [N]"""
    padding = np.full(ORDER - 1, end_of_text)
    tokens = np.concatenate([part for document in documents for part in (padding, document)])
    lengths = np.array([[len(padding), len(document)] for document in documents]).ravel()
    return tokens.astype(np.int64), np.repeat(np.tile([False, True], len(documents)), lengths)


def _number_grams(tokens: Ints, vocabulary_size: int, on_order: Callable[[], None]) -> tuple[list[Ints], list[Ints]]:
    """For each order: the sorted keys of its grams, and the number of the gram that ends at each token."""
    keys, numbers, context = [], [], np.zeros(len(tokens), np.int64)
    for _ in range(ORDER):
        found, number = np.unique(context * vocabulary_size + tokens, return_inverse=True)
        keys.append(found)
        numbers.append(number)
        # Before the first tokens of all stands nothing; those grams end in padding, which is never counted.
        context = np.maximum(_shift(number), 0)
        on_order()
    return keys, numbers


def _counts(order: int, keys: list[Ints], numbers: list[Ints], is_target: npt.NDArray[np.bool_]) -> Ints:
    """How often each gram was seen (highest order), or after how many different tokens (lower orders).  # [G]"""
    size = len(keys[order])
    if order == ORDER - 1:
        return np.bincount(numbers[order][is_target], minlength=size)
    # Each longer gram that ends in a gram is one more token that was seen before it.
    ending = np.full(len(keys[order + 1]), _UNSEEN)
    ending[numbers[order + 1][is_target]] = numbers[order][is_target]
    return np.bincount(ending[ending != _UNSEEN], minlength=size)


def _discounts(counts: Ints) -> Floats:
    """The discounts of grams counted 0, 1, 2 and 3 or more times (Chen and Goodman 1999, equation 26)."""
    n1, n2, n3, n4 = (float(np.count_nonzero(counts == count)) for count in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return _FALLBACK
    ratio = n1 / (n1 + 2 * n2)
    found = np.array([0.0, 1 - 2 * ratio * n2 / n1, 2 - 3 * ratio * n3 / n2, 3 - 4 * ratio * n4 / n3])
    is_sound = (found[1:] > 0).all() and (found[1:] <= [1, 2, 3]).all()
    return found if is_sound else _FALLBACK


def _find(keys: Ints, wanted: Ints) -> Ints:
    """Where each wanted key stands in the sorted keys, or -1.  # [len(wanted)]"""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, _UNSEEN)


def _shift(numbers: Ints) -> Ints:
    """The number of the gram that ends one token earlier, -1 before the first.  # [N]"""
    return np.concatenate([[_UNSEEN], numbers[:-1]])
