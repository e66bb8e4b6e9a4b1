"""What a backend has to offer the trainer. Only modules of this package may name one."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

State = dict[str, npt.NDArray[np.generic]]
Windows = npt.NDArray[np.int32]


class Answers(NamedTuple):
    """The targets that a loss counts; their weights are 1 on average over a batch.

    Attributes:
        places: which targets of each window, from 0 on.  # [B, A]
        weights: of each; 0 fills up.                     # [B, A]
    """

    places: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]


class Batch(NamedTuple):
    """What a step learns from: windows, and which of their targets count, all of them unless told."""

    windows: Windows  # [B, T + 1]
    answers: Answers | tuple[()] = ()


class StepResult(NamedTuple):
    """What a step tells: its loss in nats per token before the update, and the gradient's length before clipping."""

    loss: float
    gradient_norm: float


class TrainStep(Protocol):
    """A model with its optimizer: each call moves both one step on."""

    @property
    def state(self) -> State:
        """Everything that a step reads and writes, by name: with it, the next step is the same anywhere."""

    def restore(self, state: State, /) -> None:
        """Take over a ``state`` of the same names, types and shapes."""

    def __call__(self, windows: Windows, learning_rate: float, answers: Answers | tuple[()] = ()) -> StepResult:
        """One step on a batch of windows [B, T + 1], all of whose targets count or only ``answers``."""


class Peers(Protocol):
    """The processes that share a run, each of which holds the whole of it and must ask the same at the same point."""

    def any_of(self, *flags: bool) -> list[bool]:
        """Each flag: whether any process has set it."""

    def newest(self, step: int, data: bytes) -> bytes:
        """The data of the process with the highest ``step``."""


class Alone:
    """A run of one process."""

    def any_of(self, *flags: bool) -> list[bool]:
        """The flags."""
        return list(flags)

    def newest(self, _step: int, data: bytes) -> bytes:
        """The data."""
        return data
