"""One step of training in JAX: for graphics cards, where TensorFlow has no flash attention.

In: a model built on Keras' JAX backend, a batch of windows. Out: the model one step on. In between: a step is three
pure functions of what a device holds, each compiled whole; the variables of the model are set to their results. The
devices share out the parts of a batch, exchange whole gradients, and all add them up in the order of the parts: how
many devices there are does not change the sum.
"""

from __future__ import annotations

import time
from functools import reduce
from typing import Any, NamedTuple

import jax
import keras
import numpy as np
from jax import numpy as jnp

from components.model.backends import jax_kernels
from components.model.dropout import Dropout
from components.model.transformer import Transformer
from components.train import optimizer
from components.train.backends import Answers, State, StepResult, Windows
from components.train.backends.jax_devices import JaxDevices
from components.train.cluster import Placement
from components.train.config import Optimisation

Arrays = dict[str, Any]


class Held(NamedTuple):
    """What one device holds, by the names of the trained weights: the weights and both moments of their gradients."""

    weights: Arrays
    first: Arrays
    second: Arrays


class JaxStep:
    """As ``TensorFlowStep``, with the same arguments."""

    def __init__(
        self, model: Transformer, *, weight_decay: float, clip_norm: float, num_accumulations: int = 1,
        z_weight: float = 0.0, seed: int = 0, devices: JaxDevices | None = None,
    ) -> None:  # fmt: skip
        self._devices = devices or JaxDevices()
        self._model, self._weight_decay, self._clip_norm = model, weight_decay, clip_norm
        self._num_accumulations, self._z_weight, self._seed = num_accumulations, z_weight, seed
        self._trained, self._num_steps = model.trained_weights, 0
        self._hold(*({name: np.zeros(weight.shape, np.float32) for name, weight in self._trained.items()},) * 2)
        # Each device runs programs of its own, and only the exchange is one of all: the compiler would round the rest
        # otherwise for another number of devices.
        self._gradients = jax.jit(self._find_gradients)
        self._add_up = jax.jit(_add_up, donate_argnums=0, out_shardings=self._devices.whole)
        self._update = jax.jit(self._update_weights, donate_argnums=(0, 1))

    def _hold(self, first: Arrays, second: Arrays) -> None:
        """Every device takes over the model's weights, and these moments."""
        held = Held({name: weight.value for name, weight in self._trained.items()}, first, second)
        self._held = [jax.device_put(jax.tree.map(np.asarray, held), device) for _, device in self._devices.own]

    @property
    def state(self) -> State:
        """All weights and all that the optimizer remembers."""
        weights = {f"model.{name}": np.asarray(weight.value) for name, weight in self._model.named_weights.items()}
        held = self._held[0]
        moments = {f"optimizer.first.{name}": np.asarray(array) for name, array in held.first.items()}
        moments |= {f"optimizer.second.{name}": np.asarray(array) for name, array in held.second.items()}
        return weights | moments | {"optimizer.num_steps": np.asarray(self._num_steps, np.int64)}

    def restore(self, state: State) -> None:
        """Take over a ``state`` of the same names, types and shapes."""
        for name, weight in self._model.named_weights.items():
            weight.assign(state[f"model.{name}"])
        self._hold(*({n: state[f"optimizer.{part}.{n}"] for n in self._trained} for part in ("first", "second")))
        self._num_steps = int(state["optimizer.num_steps"])

    def __call__(self, windows: Windows, learning_rate: float, answers: Answers | tuple[()] = ()) -> StepResult:
        """One step on a batch of windows [B, T + 1], all of whose targets count or only ``answers``."""
        loss, norm = self.launch(windows, learning_rate, answers)
        return StepResult(float(loss), float(norm))

    def launch(self, windows: Windows, rate: float, answers: Answers | tuple[()] = ()) -> tuple[Any, Any]:
        """As a call, but without waiting for its numbers: the next step can be given while this one runs."""
        parts = list(zip(*(np.split(array, self._num_accumulations) for array in (windows, *answers)), strict=True))
        total = None
        for start in range(0, len(parts), self._devices.count):
            found = [
                self._gradients(
                    held.weights, jax.device_put(parts[start + place], device), start + place, self._num_steps
                )
                for held, (place, device) in zip(self._held, self._devices.own, strict=True)
            ]
            total = self._add_up(total, self._devices.side_by_side(found))
        self._num_steps += 1
        totals = self._devices.apart(total)
        moved = [self._update(*pair, float(self._num_steps), rate) for pair in zip(self._held, totals, strict=True)]
        self._held = [held for held, _ in moved]
        for name, array in self._held[0].weights.items():
            self._trained[name].assign(array)
        loss, norm = moved[0][1]
        return loss, norm

    def _find_gradients(self, weights: Any, batch: Any, part: Any, num_steps: Any) -> Any:
        """Loss and gradients of one part, each with an axis of 1 in front."""
        found = jax.value_and_grad(self._loss)(weights, batch, part, num_steps)
        return jax.tree.map(lambda array: array[None], found)

    def _update_weights(self, held: Held, total: Any, number: Any, rate: Any) -> tuple[Held, tuple[Any, Any]]:
        """What a device holds after step ``number``, from 1; the mean loss and the length of the gradient."""
        loss, gradients = jax.tree.map(lambda sum_: sum_ / self._num_accumulations, total)
        norm = optimizer.length(list(gradients.values()))
        scale = optimizer.clip_factor(norm, self._clip_norm)
        new = {
            name: optimizer.adamw(
                weight, gradients[name] * scale, held.first[name], held.second[name], number, rate,
                self._weight_decay if optimizer.decays(weight.shape) else 0.0,
            )
            for name, weight in held.weights.items()
        }  # fmt: skip
        return Held(*({name: values[place] for name, values in new.items()} for place in range(3))), (loss, norm)

    def _loss(self, weights: Any, batch: Any, part: Any, num_steps: Any) -> Any:
        drop = Dropout(self._model.config.dropout, [self._seed, num_steps, part])
        mapping = [(self._trained[name], value) for name, value in weights.items()]
        with keras.StatelessScope(state_mapping=mapping):
            return self._model.training_loss(batch[0], jax_kernels, drop, self._z_weight, tuple(batch[1:]))


def _add_up(total: Any, found: Any) -> Any:
    """``total``, or nothing, and what devices found side by side, added up in their order."""
    num_parts = len(jax.tree.leaves(found)[0])
    parts = [jax.tree.map(lambda arrays, n=n: arrays[n], found) for n in range(num_parts)]
    return reduce(lambda one, other: jax.tree.map(jnp.add, one, other), parts if total is None else [total, *parts])


def open_devices(placement: Placement) -> JaxDevices:
    """``Backend.open_devices``."""
    return JaxDevices(placement)


def make_step(config: Optimisation, model: Transformer, devices: JaxDevices) -> JaxStep:
    """``Backend.make_step``."""
    return JaxStep(
        model, weight_decay=config.weight_decay, clip_norm=config.clip_norm, z_weight=config.z_weight,
        num_accumulations=config.num_accumulations, seed=config.seed, devices=devices,
    )  # fmt: skip


def measure_peak(compute_type: str, _num_processors: int) -> float:
    """FLOP/s of the fastest matrix products of this machine's first device, of a few sizes."""
    product, found = jax.jit(jnp.matmul), []
    for size in (2048, 4096, 8192) if jax.default_backend() == "gpu" else (1024,):
        ones, seconds = jnp.ones((size, size), compute_type), []
        for _ in range(4):  # the first one compiles
            begin = time.perf_counter()
            product(ones, ones).block_until_ready()
            seconds.append(time.perf_counter() - begin)
        found.append(2 * size**3 / min(seconds[1:]))
    return max(found)
