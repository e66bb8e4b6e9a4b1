"""A step that also remembers the weights of the best validation loss, for runs that may stop early.

In: a step. Out: the same step, whose state holds the best weights too, so that they survive a stop like all else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.train.backends import Answers, StepResult, TrainStep, Windows

_MODEL, _BEST = "model.", "best."
State = dict[str, npt.NDArray[np.generic]]


class BestKept:
    """A TrainStep around another one."""

    def __init__(self, step: TrainStep) -> None:
        self._step = step
        self.remember()

    @property
    def state(self) -> State:
        """The state of the inner step, and the best weights."""
        return self._step.state | {_BEST + name: array for name, array in self._best.items()}

    def restore(self, state: State) -> None:
        """Take over a state."""
        self._best = {name.removeprefix(_BEST): array for name, array in state.items() if name.startswith(_BEST)}
        self._step.restore({name: array for name, array in state.items() if not name.startswith(_BEST)})

    def remember(self) -> None:
        """The weights of now are the best."""
        self._best = {name: array for name, array in self._step.state.items() if name.startswith(_MODEL)}

    def put_back(self) -> None:
        """Give the model its best weights again."""
        self._step.restore(self._step.state | self._best)

    def __call__(self, windows: Windows, learning_rate: float, answers: Answers | tuple[()] = ()) -> StepResult:
        """A step of the inner step."""
        return self._step(windows, learning_rate, answers)
