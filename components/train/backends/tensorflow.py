"""One step of training in TensorFlow.

In: a model, a batch of windows. Out: the model one step on. In between: equal inputs give equal bits on processors
of one kind, however many there are. The batch is cut into pieces by its size alone; each operation runs on one
thread (``components.model.backends``), the pieces run side by side, and their gradients are added up in order.
"""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.model.kernels import next_token_loss
from components.model.transformer import Transformer
from components.train.backends import StepResult

# Adam's as in Brown et al. 2020, appendix B.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.95, 1e-8
# So many processors at most can work on a step on one machine.
_MOST_PIECES = 8


class TensorFlowStep:
    """AdamW (Loshchilov and Hutter 2019) with a clipped gradient; matrices decay, biases and norms do not."""

    def __init__(self, model: Transformer, *, weight_decay: float, clip_norm: float) -> None:
        tf.config.experimental.enable_op_determinism()
        self._model, self._clip_norm = model, clip_norm
        # Each step is given its own learning rate: the number here is never used.
        self._optimizer = keras.optimizers.AdamW(
            learning_rate=1.0,
            weight_decay=weight_decay,
            beta_1=_BETA_1,
            beta_2=_BETA_2,
            epsilon=_EPSILON,
            name="adamw",  # else its variables have other names in each optimizer of a process
        )
        self._weights = list(model.named_weights.values())
        self._optimizer.exclude_from_weight_decay(var_list=[w for w in self._weights if len(w.shape) < 2])
        self._optimizer.build(self._weights)
        self._totals = [tf.Variable(tf.zeros(w.shape), trainable=False) for w in self._weights]
        # Traced once and called for each piece: inlined, every piece would be optimised again.
        self._gradients = tf.function(
            self._find_gradients, autograph=False, experimental_attributes={"_noinline": True}
        )
        self._step = tf.function(self._take, autograph=False)

    @property
    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """All weights and all that the optimizer remembers."""
        return {name: np.asarray(variable.numpy()) for name, variable in self._variables().items()}

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Take over a ``state`` of the same names, types and shapes."""
        for name, variable in self._variables().items():
            variable.assign(state[name])

    def _variables(self) -> dict[str, Any]:
        weights = {f"model.{name}": weight for name, weight in self._model.named_weights.items()}
        return weights | {f"optimizer.{v.path}": v for v in self._optimizer.variables}

    def __call__(self, windows: npt.NDArray[np.int32], learning_rate: float) -> StepResult:
        """One step on a batch of windows [B, T + 1]."""
        loss, norm = self._step(tf.constant(windows), tf.constant(learning_rate, tf.float32))
        return StepResult(float(loss), float(norm))

    def _take(self, windows: Any, learning_rate: Any) -> tuple[Any, Any]:
        num_pieces, losses = num_pieces_of(windows.shape[0]), []
        for number, piece in enumerate(tf.split(windows, num_pieces)):
            loss, gradients = self._gradients(piece)
            losses.append(loss)
            for total, gradient in zip(self._totals, gradients, strict=True):
                # In the order of the pieces: TensorFlow keeps the order of assignments to a variable.
                (total.assign_add if number else total.assign)(gradient)
        means = [total / num_pieces for total in self._totals]
        gradients, norm = tf.clip_by_global_norm(means, self._clip_norm)
        self._optimizer.learning_rate.assign(learning_rate)
        self._optimizer.apply(gradients, self._weights)
        return tf.reduce_mean(tf.stack(losses)), norm

    def _find_gradients(self, windows: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            hidden = self._model.hidden(windows[:, :-1])
            loss = next_token_loss(hidden, self._model.token_embedding, windows[:, 1:])
        found = tape.gradient(loss, [weight.value for weight in self._weights])
        # The embedding is read by its rows at the input and whole at the output: its gradient is dense.
        return loss, [tf.convert_to_tensor(gradient) for gradient in found]


def measure_peak(compute_type: str, num_processors: int) -> float:
    """FLOP/s of the fastest matrix products of this machine, one for each processor side by side."""
    size, num_rounds = 1024, 3
    ones = [tf.ones((size, size), compute_type) for _ in range(num_processors)]
    products = tf.function(lambda: [tf.reduce_sum(a @ a) for a in ones], autograph=False)
    seconds = []
    for _ in range(1 + num_rounds):  # the first one compiles
        begin = time.perf_counter()
        products()
        seconds.append(time.perf_counter() - begin)
    return num_processors * 2 * size**3 / min(seconds[1:])


def num_pieces_of(batch_windows: int) -> int:
    """Into how many equal pieces a batch is cut: as many as there may be."""
    return max(n for n in range(1, _MOST_PIECES + 1) if batch_windows % n == 0)
