"""Which weights of a run are kept in the end: the last, an average of them, or those of the best validation loss.

In: a step and its model. Out: the same step, whose state holds what is kept too, so that it survives a stop like all
else. In between: the weights that the run goes on from are never touched by what is kept beside them.

The average is exponential, without a bias towards the beginning (Kingma and Ba 2015, section 7.2): from 0, after each
step, average ← β average + (1 − β) weight; after n steps it is divided by 1 − βⁿ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from keras import ops

from components.model.transformer import Transformer
from components.train.backends import Answers, State, StepResult, TrainStep, Windows

_MODEL, _BEST, _AVERAGE, _NUM_AVERAGED = "model.", "best.", "average.", "num_averaged"


class Kept:
    """A TrainStep around another one.

    Args:
        step: the inner step.
        model: whose weights it moves.
        average_decay: β; 0 keeps no average.
        keeps_best: whether the weights of the best validation loss are kept.
    """

    def __init__(self, step: TrainStep, model: Transformer, *, average_decay: float, keeps_best: bool) -> None:
        self._step, self._decay = step, average_decay
        self._weights = model.trained_weights if average_decay else {}
        self._average = {name: ops.zeros_like(weight) for name, weight in self._weights.items()}
        self._num_averaged = 0
        self._best = self._of_model() if keeps_best else {}

    @property
    def state(self) -> State:
        """The state of the inner step, and what is kept beside it."""
        state = self._step.state | {_BEST + name: array for name, array in self._best.items()}
        if self._decay:
            state |= {_AVERAGE + name: ops.convert_to_numpy(array) for name, array in self._average.items()}
            state[_NUM_AVERAGED] = np.asarray(self._num_averaged, np.int64)
        return state

    def restore(self, state: State) -> None:
        """Take over a state."""
        kept = (_BEST, _AVERAGE, _NUM_AVERAGED)
        self._step.restore({name: array for name, array in state.items() if not name.startswith(kept)})
        self._best = {name: state[_BEST + name] for name in self._best}
        self._average = {name: ops.convert_to_tensor(state[_AVERAGE + name]) for name in self._average}
        self._num_averaged = int(state.get(_NUM_AVERAGED, 0))

    def __call__(self, windows: Windows, learning_rate: float, answers: Answers | tuple[()] = ()) -> StepResult:
        """A step of the inner step, after which its weights join the average."""
        result = self._step(windows, learning_rate, answers)
        for name, weight in self._weights.items():
            self._average[name] = self._decay * self._average[name] + (1 - self._decay) * weight
        self._num_averaged += 1
        return result

    @contextmanager
    def judged(self) -> Iterator[None]:
        """While the block runs, the model has the weights that would be kept if the run ended now."""
        before = {name: ops.copy(weight) for name, weight in self._weights.items()}
        self._take_average()
        yield
        for name, weight in self._weights.items():
            weight.assign(before[name])

    def remember(self) -> None:
        """The weights that are judged are the best so far."""
        self._best = {name: array for name, array in self._of_model().items() if name in self._best}

    def finish(self) -> None:
        """Give the model the weights that are kept."""
        if self._best:
            self._step.restore(self._step.state | self._best)
        else:
            self._take_average()

    def _of_model(self) -> State:
        return {name: array for name, array in self._step.state.items() if name.startswith(_MODEL)}

    def _take_average(self) -> None:
        for name, weight in self._weights.items():
            weight.assign(self._average[name] / (1 - self._decay**self._num_averaged))
