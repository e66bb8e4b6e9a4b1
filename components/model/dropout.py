"""Dropout without a state (Srivastava et al. 2014, section 4): what is dropped follows from a few numbers.

In: activations, a seed. Out: activations, a share of them 0 and the others larger by as much. In between: the numbers
of the seed, such as those of run and step, and the place in the model decide; so a run that resumes at a step drops
what the run that was never stopped would have dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from components.model.backends import backend


class Dropout:
    """Drops at each call in one pass through a model; a place of the pass is the count of calls before it."""

    def __init__(self, share: float, seed: Sequence[Any]) -> None:
        self._share, self._seed, self._place = share, seed, 0

    def __call__(self, x: Any) -> Any:
        """``x`` with its share dropped; the expected value of each number stays."""
        if not self._share:
            return x
        draws = backend().uniform(tuple(x.shape), [*self._seed, self._place])
        self._place += 1
        return ops.where(draws < self._share, ops.zeros_like(x), x / (1 - self._share))
