"""AdamW with a clipped gradient, as functions of tensors.

In: weights, gradients, what the optimizer remembers. Out: the same one step on. In between: all is in keras.ops, so
every backend computes the same; the backends hold the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

Tensor = Any
# Adam's as in Brown et al. 2020, appendix B.
BETA_1, BETA_2, EPSILON = 0.9, 0.95, 1e-8


def decays(shape: Sequence[int]) -> bool:
    """Whether a weight decays: matrices and embeddings do, biases and the scales of norms do not."""
    return len(shape) >= 2


def length(gradients: Sequence[Tensor]) -> Tensor:
    """√(Σ g²) over all gradients together."""
    return ops.sqrt(ops.sum(ops.stack([ops.sum(ops.square(gradient)) for gradient in gradients])))


def clip_factor(norm: Tensor, clip_norm: float) -> Tensor:
    """What a gradient of length ``norm`` is multiplied by so that it is ``clip_norm`` long at most."""
    return clip_norm / ops.maximum(norm, clip_norm)


def adamw(
    weight: Tensor, gradient: Tensor, first: Tensor, second: Tensor, number: Tensor, rate: Tensor, decay: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Weight and both moments after step ``number``, from 1 (Loshchilov and Hutter 2019, algorithm 2)."""
    first = BETA_1 * first + (1 - BETA_1) * gradient
    second = BETA_2 * second + (1 - BETA_2) * ops.square(gradient)
    first_mean, second_mean = first / (1 - BETA_1**number), second / (1 - BETA_2**number)
    change = first_mean / (ops.sqrt(second_mean) + EPSILON)
    return weight - rate * (change + decay * weight), first, second
