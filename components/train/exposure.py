"""Which step of a training was the first to see each window; for whoever asks what a model has seen.

In: the values of a training, its tokens, checks and history. Out: a step for each window. In between: the very
function that gave the training its batches is asked again, so the answer cannot differ from what happened.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.train.config import TrainConfig
from components.train.data import open_data
from components.train.schedule import windows_of_step

NEVER, HISTORY = -1, "history.jsonl"


def first_steps(config: TrainConfig, tokens: Path, checks: Path, model: Path) -> npt.NDArray[np.int64]:
    """The first step, from 0 on, that saw each window of the training split, or -1.  # [num_windows]

    A run that stopped early took fewer steps than its values say; the history in ``model`` has a line for each. Where
    it went back to its best weights, steps after those count too: better one too many than one too few.
    """
    windows = open_data(config, tokens, checks).train
    first = np.full(len(windows), NEVER, dtype=np.int64)
    # After one epoch every window has been seen; backwards, so that the first step is what stays.
    num_taken = sum(1 for _ in (model / HISTORY).open("rb"))
    num_steps = min(num_taken, -(-len(windows) // config.batch_windows))
    for step in reversed(range(num_steps)):
        first[windows_of_step(step, seed=config.seed, batch_windows=config.batch_windows, num_windows=len(windows))] = (
            step
        )
    found = np.full(windows.split.num_windows, NEVER, dtype=np.int64)
    found[windows.positions] = first
    return found
