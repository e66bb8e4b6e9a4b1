"""What a step is given: its learning rate and its windows, both functions of the step's number alone.

In: a config, a step. Out: a number, positions of windows. In between: no state, so a run that resumes at a step
goes on exactly as the run that was never stopped.
"""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi

import numpy as np
import numpy.typing as npt

from components.train.config import Optimisation

Positions = npt.NDArray[np.int64]


def learning_rate(step: int, config: Optimisation) -> float:
    """The learning rate of step 0, 1, …: a straight rise, then a fall towards the final rate.

    The fall is half a cosine (Loshchilov and Hutter 2017, equation 5), or a straight line over the last steps after a
    plateau (Hägele et al. 2024, section 3).
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share_left = _cosine(step, config) if config.schedule == "cosine" else _line(step, config)
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * share_left


def _cosine(step: int, config: Optimisation) -> float:
    return (1 + cos(pi * (step - config.warmup_steps) / (config.num_steps - config.warmup_steps))) / 2


def _line(step: int, config: Optimisation) -> float:
    return min(1.0, (config.num_steps - step) / config.decay_steps)


def windows_of_step(step: int, seed: int, batch_windows: int, num_windows: int) -> Positions:
    """Which windows step 0, 1, … sees: every epoch goes through all of them once, in an order of its own.

    Where an epoch ends inside a batch, the next one begins there.  # [batch_windows]
    """
    places = np.arange(step * batch_windows, (step + 1) * batch_windows)
    epochs, offsets = np.divmod(places, num_windows)
    orders = {epoch: _order(seed, epoch, num_windows) for epoch in np.unique(epochs).tolist()}
    return np.array([orders[epoch][offset] for epoch, offset in zip(epochs.tolist(), offsets, strict=True)])


def validation_windows(num_wanted: int, num_windows: int) -> Positions:
    """At most ``num_wanted`` windows, evenly spread over the split."""
    return np.unique(np.linspace(0, num_windows - 1, min(num_wanted, num_windows)).astype(np.int64))


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, num_windows: int) -> Positions:
    return np.random.default_rng([seed, epoch]).permutation(num_windows)
