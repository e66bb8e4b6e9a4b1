"""Which step of a training was the first to see each window, or each example; for whoever asks what a model has seen.

In: the values of a training, its inputs and history. Out: a step for each window or example. In between: the very
function that gave the training its batches is asked again, so the answer cannot differ from what happened.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.model.weights import read_config
from components.tokenizer.codec import Codec
from components.train.arrangement import arrange
from components.train.config import FinetuneConfig, TrainConfig
from components.train.data import open_data
from components.train.examples import read_all
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
    num_steps = min(_num_taken(model), -(-len(windows) // config.batch_windows))
    for step in reversed(range(num_steps)):
        first[windows_of_step(step, seed=config.seed, batch_windows=config.batch_windows, num_windows=len(windows))] = (
            step
        )
    found = np.full(windows.split.num_windows, NEVER, dtype=np.int64)
    found[windows.positions] = first
    return found


def first_steps_of_examples(
    config: FinetuneConfig, model: Path, tokenizer: Path, examples: Path, checks: Path, finetuned: Path
) -> dict[str, int]:
    """The first step, from 0 on, that learned from each usable example of the training split, or -1, by identity."""
    context_tokens = read_config(model).context_tokens
    found = read_all(tuple(config.applications), examples, checks, Codec.load(tokenizer), context_tokens)
    mixture = arrange(config, found.train, found.validation, context_tokens).mixture
    first = np.full(len(found.train.tokens), NEVER, dtype=np.int64)
    for step in reversed(range(_num_taken(finetuned))):
        first[mixture.of_step(step)[1]] = step
    return dict(zip(found.train.identities, first.tolist(), strict=True))


def _num_taken(model: Path) -> int:
    """Steps that a training really took: its history has a line for each."""
    return sum(1 for _ in (model / HISTORY).open("rb"))
