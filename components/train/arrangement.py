"""Examples arranged in rows of few lengths, and rows in steps; without the backend, so that others can ask too.

In: encoded examples. Out: the lengths of rows, and the ``Mixture`` of the steps. In between: a row is as short as its
example allows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from components.train.config import FinetuneConfig
from components.train.examples import Examples
from components.train.mixture import MOST_WIDTHS, Mixture, Numbers, Stratum, choose_widths, rows_of_batch


class Arrangement(NamedTuple):
    """The lengths of rows, the shortest first, and what each step sees of the examples to learn from."""

    widths: Numbers
    mixture: Mixture


def arrange(config: FinetuneConfig, train: Examples, validation: Examples, context_tokens: int) -> Arrangement:
    """Rows for the examples of both splits, and steps for those of ``train``."""
    widths = choose_widths(np.concatenate([train.lengths, validation.lengths]), MOST_WIDTHS, context_tokens)
    return Arrangement(widths, _mix(config, train, widths))


def shelves(widths: Numbers, lengths: Numbers) -> list[Numbers]:
    """The examples of each width: those that fit into it and into none shorter."""
    places = np.searchsorted(widths, lengths)
    return [np.flatnonzero(places == shelf) for shelf in range(len(widths))]


def _mix(config: FinetuneConfig, train: Examples, widths: Numbers) -> Mixture:
    strata, rows = [], []
    multiple = 2 * config.num_accumulations  # two pieces at least, so that two processors share a step
    for width, shelf in zip(widths.tolist(), shelves(widths, train.lengths), strict=True):
        owners = train.applications[shelf]
        weights = enumerate(config.applications.values())
        strata.append([Stratum(shelf[owners == place], weight) for place, weight in weights])
        rows.append(rows_of_batch(config.batch_tokens, width, len(shelf), multiple))
    return Mixture(config.seed, strata, rows)
