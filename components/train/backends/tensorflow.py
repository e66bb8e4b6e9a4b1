"""One step of training in TensorFlow.

In: a model, a batch of windows. Out: the model one step on. In between: equal inputs give equal bits on processors
of one kind, however many there are. The batch is cut into pieces by its size alone; each operation runs on one
thread (``components.model.backends``), the pieces run side by side, and their gradients are added up in order.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf

from components.model.backends import tensorflow_kernels
from components.model.dropout import Dropout
from components.model.transformer import Transformer
from components.train import optimizer
from components.train.backends import Answers, State, StepResult, Windows
from components.train.backends.tensorflow_devices import TensorFlowDevices, num_pieces_of
from components.train.cluster import Placement
from components.train.config import Optimisation


class TensorFlowStep:
    """AdamW on the mean loss of a batch; matrices decay, biases and norms do not.

    Args:
        model: what is trained.
        weight_decay: per learning rate.
        clip_norm: the longest gradient, all weights together.
        num_accumulations: parts of a batch that are worked on one after the other, to save memory.
        z_weight: weight of (log Σ exp logits)² in the loss.
        seed: of dropout.
        devices: what shares a step; one device unless given.
    """

    def __init__(
        self, model: Transformer, *, weight_decay: float, clip_norm: float, num_accumulations: int = 1,
        z_weight: float = 0.0, seed: int = 0, devices: TensorFlowDevices | None = None,
    ) -> None:  # fmt: skip
        self._devices = devices or TensorFlowDevices()
        tf.config.experimental.enable_op_determinism()
        self._model, self._weight_decay, self._clip_norm = model, weight_decay, clip_norm
        self._num_accumulations, self._z_weight, self._seed = num_accumulations, z_weight, seed
        self._weights = [weight.value for weight in model.trained_weights.values()]
        self._totals, self._first, self._second = (
            [tf.Variable(tf.zeros(weight.shape), trainable=False) for weight in self._weights] for _ in range(3)
        )
        self._num_steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        # Traced once and called for each piece: inlined, every piece would be optimised again.
        self._gradients = tf.function(
            self._find_gradients, autograph=False, experimental_attributes={"_noinline": True}
        )
        self._add_up = tf.function(self._add_gradients, autograph=False)
        self._update = tf.function(self._update_weights, autograph=False)

    @property
    def state(self) -> State:
        """All weights and all that the optimizer remembers."""
        return {name: np.asarray(variable.numpy()) for name, variable in self._variables().items()}

    def restore(self, state: State) -> None:
        """Take over a ``state`` of the same names, types and shapes."""
        for name, variable in self._variables().items():
            variable.assign(state[name])

    def _variables(self) -> dict[str, Any]:
        names = list(self._model.trained_weights)
        moments = {f"optimizer.first.{n}": v for n, v in zip(names, self._first, strict=True)}
        moments |= {f"optimizer.second.{n}": v for n, v in zip(names, self._second, strict=True)}
        weights = {f"model.{name}": weight.value for name, weight in self._model.named_weights.items()}
        return weights | moments | {"optimizer.num_steps": self._num_steps}

    def __call__(self, windows: Windows, learning_rate: float, answers: Answers | tuple[()] = ()) -> StepResult:
        """One step on a batch of windows [B, T + 1], all of whose targets count or only ``answers``."""
        parts = list(zip(*(np.split(array, self._num_accumulations) for array in (windows, *answers)), strict=True))
        losses = [self._add_up(tf.constant(number), *map(tf.constant, part)) for number, part in enumerate(parts)]
        num_gradients = len(parts) * num_pieces_of(parts[0][0].shape)
        norm = self._update(tf.constant(learning_rate, tf.float32), tf.constant(1 / num_gradients, tf.float32))
        return StepResult(float(np.mean([loss.numpy() for loss in losses], dtype=np.float64)), float(norm))

    def _add_gradients(self, part: Any, windows: Any, *answers: Any) -> Any:
        """Add the gradients of a batch, or of a part of it, to the totals; returns its loss."""
        num_pieces, losses = num_pieces_of(windows.shape), []
        cut = zip(*(tf.split(array, num_pieces) for array in (windows, *answers)), strict=True)
        pieces = [(part * num_pieces + number, *piece) for number, piece in enumerate(cut)]
        for loss, gradients in self._devices.in_order(self._gradients, pieces):
            losses.append(loss)
            for total, gradient in zip(self._totals, gradients, strict=True):
                total.assign_add(gradient)  # TensorFlow keeps the order of assignments to a variable
        return tf.reduce_mean(tf.stack(losses))

    def _find_gradients(self, piece: Any, windows: Any, *answers: Any) -> tuple[Any, list[Any]]:
        drop = Dropout(self._model.config.dropout, [self._seed, self._num_steps, piece])
        with tf.GradientTape() as tape:
            loss = self._model.training_loss(windows, tensorflow_kernels, drop, self._z_weight, answers)
        # The embedding is read by its rows at the input and whole at the output: its gradient is dense.
        return loss, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, self._weights)]

    def _update_weights(self, learning_rate: Any, share: Any) -> Any:
        """Move the weights by the mean of the gradients in the totals; returns its length before clipping."""
        number = self._num_steps.assign_add(1)
        norm = optimizer.length(self._totals) * share
        scale = optimizer.clip_factor(norm, self._clip_norm) * share
        places = zip(self._weights, self._totals, self._first, self._second, strict=True)
        for weight, total, first, second in places:
            decay = self._weight_decay if optimizer.decays(weight.shape) else 0.0
            old = [tf.convert_to_tensor(variable) for variable in (weight, total, first, second)]
            new = _moved(*old, scale, tf.cast(number, tf.float32), learning_rate, tf.constant(decay))
            for variable, value in zip((weight, first, second), new, strict=True):
                variable.assign(value)
        for total in self._totals:
            total.assign(tf.zeros_like(total))
        return norm


@tf.function(autograph=False, jit_compile=True)  # type: ignore[untyped-decorator]
def _moved(
    weight: Any, total: Any, first: Any, second: Any, scale: Any, number: Any, rate: Any, decay: Any
) -> tuple[Any, ...]:
    """One weight and its moments one step on; compiled once for each shape."""
    return optimizer.adamw(weight, total * scale, first, second, number, rate, decay)


def open_devices(placement: Placement) -> TensorFlowDevices:
    """``Backend.open_devices``."""
    return TensorFlowDevices(placement)


def make_step(config: Optimisation, model: Transformer, devices: TensorFlowDevices) -> TensorFlowStep:
    """``Backend.make_step``."""
    return TensorFlowStep(
        model, weight_decay=config.weight_decay, clip_norm=config.clip_norm, z_weight=config.z_weight,
        num_accumulations=config.num_accumulations, seed=config.seed, devices=devices,
    )  # fmt: skip


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
