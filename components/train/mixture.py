"""Which examples each step of a fine-tuning sees: a function of the step's number alone.

In: how long the examples of each application are, and how often an epoch shall see them. Out: of each step, a few
examples of about one length. In between: a row is one example, filled up behind its end, where none of its tokens
looks. Rows have one of a few lengths, chosen so that filling up costs the fewest tokens, and a batch has rows of one
length: a question of twenty tokens costs about twenty tokens, and few shapes have to be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
# A length is a graph to compile; a fourth would save 8 % of the operations on SST-2.
MOST_WIDTHS = 3
_GRAIN = 8  # tokens


@dataclass(frozen=True)
class Stratum:
    """Examples of one application in rows of one length, and how often an epoch sees each: 2.5 is twice or thrice."""

    members: Numbers
    weight: float


@dataclass(frozen=True, eq=False)
class Mixture:
    """What epochs are made of.

    Attributes:
        seed: of the order.
        shelves: the strata of each length of rows.
        rows: of a batch of each length.
    """

    seed: int
    shelves: Sequence[Sequence[Stratum]]
    rows: Sequence[int]

    @property
    def num_batches(self) -> int:
        """Batches of an epoch; every epoch has as many."""
        return len(_epoch(self, 0))

    def of_step(self, step: int) -> tuple[int, Numbers]:
        """The shelf of step 0, 1, … and the examples of it that the step sees.  # [rows of the shelf]"""
        epoch, place = divmod(step, self.num_batches)
        return _epoch(self, epoch)[place]


def choose_widths(lengths: Numbers, most: int, context_tokens: int) -> Numbers:
    """At most ``most`` lengths of rows for which rows of these ``lengths``, each as short as can be, are fewest tokens.

    By dynamic programming over the lengths that occur, in grains of 8 tokens.  # ascending
    """
    rounded = np.minimum(-(-lengths // _GRAIN) * _GRAIN, context_tokens)
    values, counts = np.unique(rounded, return_counts=True)
    shorter = np.concatenate([[0], np.cumsum(counts)])  # examples below each value
    # costs[j]: tokens of all rows of the j shortest values; then with one more width for those from i on.
    added = np.where(np.tri(len(values), dtype=bool).T, values * (shorter[1:] - shorter[:-1, None]), np.inf)
    costs, begins = added[0], [np.zeros(len(values), np.int64)]
    for _ in range(1, most):
        options = added + np.concatenate([[0.0], costs[:-1]])[:, None]  # [i, j]
        begins.append(options.argmin(axis=0))
        costs = options.min(axis=0)
    return _walk_back(values, begins)


def _walk_back(values: Numbers, begins: Sequence[Numbers]) -> Numbers:
    """The widths of the best way to the last value."""
    widths, last = [], len(values) - 1
    for begin in reversed(begins):
        if last >= 0:
            widths.append(int(values[last]))
            last = int(begin[last]) - 1
    return np.array(widths[::-1], np.int64)


def rows_of_batch(batch_tokens: int, width: int, num_examples: int, multiple: int) -> int:
    """Rows of ``width`` that make about ``batch_tokens``, not more than examples; a multiple, to cut it into pieces."""
    fitting = min(batch_tokens // width, num_examples)
    return max(multiple, fitting // multiple * multiple)


@lru_cache(maxsize=2)
def _epoch(mixture: Mixture, epoch: int) -> list[tuple[int, Numbers]]:
    """The batches of an epoch, in its order."""
    random, batches = np.random.default_rng([mixture.seed, epoch]), list[tuple[int, Numbers]]()
    for shelf, (strata, rows) in enumerate(zip(mixture.shelves, mixture.rows, strict=True)):
        chosen = np.concatenate([_repeat(random, stratum) for stratum in strata])
        batches += [(shelf, numbers) for numbers in _cut(random.permutation(chosen), rows)]
    return [batches[place] for place in random.permutation(len(batches))]


def _repeat(random: np.random.Generator, stratum: Stratum) -> Numbers:
    whole, part = divmod(stratum.weight, 1)
    some = random.permutation(stratum.members)[: round(part * len(stratum.members))]
    return np.concatenate([*[stratum.members] * int(whole), some])


def _cut(chosen: Numbers, rows: int) -> list[Numbers]:
    """Batches of ``rows``; the last one is filled up from the beginning."""
    num_batches = -(-len(chosen) // rows)
    return np.split(np.resize(chosen, num_batches * rows), num_batches) if num_batches else []
