"""A run from a model to its last step: what both stages of the room share.

In: lessons, a way to make the model. Out: the model with the weights that are kept, and how it went. In between: what
cannot work is refused before the first step.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import write_json, write_whole
from components.core.stage import Attempt, Live
from components.model import ModelConfig
from components.model.transformer import ComputeType, Transformer
from components.model.weights import Arrays
from components.train.backends import Devices, backend
from components.train.checkpoints import Checkpoints
from components.train.circumstances import Circumstances
from components.train.config import Optimisation
from components.train.history import Entry, best_validation_loss, to_lines
from components.train.lessons import Lessons
from components.train.loop import run
from components.train.processor import processor_flags, processor_kind, resolve_compute_type
from components.train.room import check_room


@dataclass(frozen=True)
class Finished:
    """A run that came to its end.

    Attributes:
        model: with the weights that are kept.
        history: an entry for each step.
        kind: what computed it.
        validation_loss: of the weights that are kept.
    """

    model: Transformer
    history: list[Entry]
    kind: dict[str, Any]
    validation_loss: float

    @property
    def compute_type(self) -> str:
        """Of the matrix products."""
        return str(self.kind["compute_type"])

    @property
    def num_trained(self) -> int:
        """Numbers that the run changed."""
        return sum(math.prod(weight.shape) for weight in self.model.trained_weights.values())

    @property
    def weights(self) -> Arrays:
        """Those that are kept, by name."""
        return {name: np.asarray(weight.numpy()) for name, weight in self.model.named_weights.items()}

    def save(self, output: Path) -> None:
        """Write how it went, and what computed it."""
        write_json(output / "processor.json", self.kind)
        write_whole(output / "history.jsonl", to_lines(self.history))


def perform(
    config: Optimisation, sizes: ModelConfig, make: Callable[[ComputeType], Transformer], lessons: Lessons,
    where: Circumstances, live: Live, attempt: Attempt,
) -> Finished:  # fmt: skip
    """Train the model of these ``sizes`` that ``make`` gives, or go on where an earlier attempt had come to."""
    by = backend(config.backend)
    devices = by.open_devices(where.placement)
    compute_type = resolve_compute_type(config.compute_type, processor_flags(), is_gpu=devices.is_gpu)
    _check_batches(config, sizes, lessons, devices, compute_type)
    model = make(compute_type)
    step = by.make_step(config, model, devices)
    kind = {**processor_kind(), "device": devices.kind, "compute_type": compute_type}
    work = Attempt(attempt.folder, {**attempt.identity, "processor": kind})
    checkpoints = Checkpoints(work, interval_seconds=where.checkpoint_seconds, devices=devices)
    peak = by.measure_peak(compute_type, len(os.sched_getaffinity(0)))
    history = run(config, model, step, lessons, live, checkpoints, peak)
    loss = best_validation_loss(history if config.patience_validations else history[-1:])
    return Finished(model, history, kind, loss)


def _check_batches(
    config: Optimisation, sizes: ModelConfig, lessons: Lessons, devices: Devices, compute_type: ComputeType
) -> None:
    for shape in lessons.batch_shapes:
        devices.check_batch(shape, config.num_accumulations)
        if not devices.is_gpu:
            check_room(config, sizes, shape, compute_type)
