"""What a run learns from and is measured on.

In: data. Out: the batch of each step, and losses of a model. In between: a batch depends on the number of its step
alone, and what is measured is the same each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from components.model.scoring import token_losses
from components.model.transformer import Transformer
from components.train.backends import Batch
from components.train.config import TrainConfig
from components.train.data import Data
from components.train.history import VALIDATION
from components.train.schedule import validation_windows, windows_of_step


class Lessons(Protocol):
    """What the loop asks for."""

    @property
    def batch_shapes(self) -> Sequence[tuple[int, int]]:
        """Windows of a batch, and their tokens with the one that is a target only: each that occurs."""

    def batch(self, step: int) -> Batch:
        """What step 0, 1, … learns from."""

    def measure(self, model: Transformer) -> Mapping[str, float]:
        """``validation_loss`` in nats per token, and parts of it by name."""


@dataclass(frozen=True)
class WindowLessons:
    """Windows of a corpus, of which every token counts."""

    config: TrainConfig
    data: Data

    @property
    def batch_shapes(self) -> Sequence[tuple[int, int]]:
        """One."""
        return [(self.config.batch_windows, self.config.model.context_tokens + 1)]

    def batch(self, step: int) -> Batch:
        """Every epoch sees each window once."""
        train, config = self.data.train, self.config
        numbers = windows_of_step(step, config.seed, config.batch_windows, len(train))
        return Batch(train.read(numbers))

    def measure(self, model: Transformer) -> Mapping[str, float]:
        """Mean nats per token over windows that are the same each time."""
        numbers = validation_windows(self.config.validation_windows, len(self.data.validation))
        losses = token_losses(model, self.data.validation.read(numbers))
        return {VALIDATION: float(losses.mean(dtype="float64"))}
