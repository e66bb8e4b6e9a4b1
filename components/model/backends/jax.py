"""What the model needs of JAX by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras


def compiled(function: Callable[..., Any], model: Any) -> Callable[..., Any]:
    """``function`` of tensors, compiled for each combination of shapes; sees the weights as they are at each call."""
    variables = model.variables

    @jax.jit
    def pure(values: list[Any], *arguments: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*arguments)

    return lambda *arguments: pure([variable.value for variable in variables], *arguments)


def uniform(shape: tuple[int, ...], seed: Sequence[Any]) -> Any:
    """Numbers from 0 to 1 that depend on shape and seed, a few whole numbers, alone."""
    key = jax.random.key(0)
    for number in seed:
        key = jax.random.fold_in(key, number)
    return jax.random.uniform(key, shape)
