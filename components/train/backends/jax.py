"""One step of training in JAX, compiled whole: for graphics cards, where TensorFlow has no flash attention.

In: a model built on Keras' JAX backend, a batch of windows. Out: the model one step on. In between: the step is a
pure function of the weights and of what the optimizer remembers; the variables of the model are set to its results.
The loss and its gradient are those of ``components.model.formulas``, so the logits of one part of a batch exist whole:
``num_accumulations`` makes the parts smaller.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from components.model.backends import jax_kernels
from components.model.dropout import Dropout
from components.model.transformer import Transformer
from components.train import optimizer
from components.train.backends import Answers, State, StepResult, Windows


class JaxStep:
    """As ``TensorFlowStep``, with the same arguments."""

    def __init__(
        self, model: Transformer, *, weight_decay: float, clip_norm: float, num_accumulations: int = 1,
        z_weight: float = 0.0, seed: int = 0,
    ) -> None:  # fmt: skip
        self._model, self._weight_decay, self._clip_norm = model, weight_decay, clip_norm
        self._num_accumulations, self._z_weight, self._seed = num_accumulations, z_weight, seed
        self._trained, self._num_steps = model.trained_weights, 0
        self._first, self._second = (
            {name: jnp.zeros(weight.shape) for name, weight in self._trained.items()} for _ in range(2)
        )
        self._step = jax.jit(self._take, donate_argnums=(0, 1, 2))

    @property
    def state(self) -> State:
        """All weights and all that the optimizer remembers."""
        weights = {f"model.{name}": np.asarray(weight.value) for name, weight in self._model.named_weights.items()}
        moments = {f"optimizer.first.{name}": np.asarray(array) for name, array in self._first.items()}
        moments |= {f"optimizer.second.{name}": np.asarray(array) for name, array in self._second.items()}
        return weights | moments | {"optimizer.num_steps": np.asarray(self._num_steps, np.int64)}

    def restore(self, state: State) -> None:
        """Take over a ``state`` of the same names, types and shapes."""
        for name, weight in self._model.named_weights.items():
            weight.assign(state[f"model.{name}"])
        self._first, self._second = (
            {name: jnp.asarray(state[f"optimizer.{part}.{name}"]) for name in self._trained}
            for part in ("first", "second")
        )
        self._num_steps = int(state["optimizer.num_steps"])

    def __call__(self, windows: Windows, learning_rate: float, answers: Answers | tuple[()] = ()) -> StepResult:
        """One step on a batch of windows [B, T + 1], all of whose targets count or only ``answers``."""
        loss, norm = self.launch(windows, learning_rate, answers)
        return StepResult(float(loss), float(norm))

    def launch(self, windows: Windows, learning_rate: float, answers: Answers | tuple[()] = ()) -> tuple[Any, Any]:
        """As a call, but without waiting for its numbers: the next step can be given while this one runs."""
        values = {name: weight.value for name, weight in self._trained.items()}
        values, self._first, self._second, loss, norm = self._step(
            values,
            self._first,
            self._second,
            tuple(map(jnp.asarray, (windows, *answers))),
            self._num_steps,
            learning_rate,
        )
        for name, weight in self._trained.items():
            weight.assign(values[name])
        self._num_steps += 1
        return loss, norm

    def _take(
        self, weights: Any, first: Any, second: Any, batch: Any, num_steps: Any, rate: Any
    ) -> tuple[Any, Any, Any, Any, Any]:
        loss, gradients = self._mean_gradients(weights, batch, num_steps)
        norm = optimizer.length(list(gradients.values()))
        scale = optimizer.clip_factor(norm, self._clip_norm)
        new = {
            name: optimizer.adamw(
                weight, gradients[name] * scale, first[name], second[name], num_steps + 1.0, rate,
                self._weight_decay if optimizer.decays(weight.shape) else 0.0,
            )
            for name, weight in weights.items()
        }  # fmt: skip
        moved = ({name: values[place] for name, values in new.items()} for place in range(3))
        return (*moved, loss, norm)

    def _mean_gradients(self, weights: Any, batch: Any, num_steps: Any) -> tuple[Any, Any]:
        parts = [jnp.reshape(array, (self._num_accumulations, -1, array.shape[1])) for array in batch]

        def add(total: Any, part: tuple[Any, Any]) -> tuple[Any, None]:
            found = jax.value_and_grad(partial(self._loss, num_steps=num_steps))(weights, *part)
            return jax.tree.map(jnp.add, total, found), None

        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, weights))
        total, _ = jax.lax.scan(add, nothing, (parts, jnp.arange(self._num_accumulations)))
        mean: tuple[Any, Any] = jax.tree.map(lambda sum_: sum_ / self._num_accumulations, total)
        return mean

    def _loss(self, weights: Any, batch: Any, part: Any, num_steps: Any) -> Any:
        drop = Dropout(self._model.config.dropout, [self._seed, num_steps, part])
        mapping = [(self._trained[name], value) for name, value in weights.items()]
        with keras.StatelessScope(state_mapping=mapping):
            return self._model.training_loss(batch[0], jax_kernels, drop, self._z_weight, tuple(batch[1:]))
