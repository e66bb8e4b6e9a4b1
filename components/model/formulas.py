"""The formulas of the model as the papers write them: the readable statement of what is computed.

In: tensors. Out: tensors. In between: plain keras.ops, so they run on every backend and gradients come from the
backend. Norms, softmax and sums are float32; matrix products are in the type of what they are given.
``backends.tensorflow_kernels`` computes the same in training, faster; tests hold it against this module.
The shape letters are those of ``transformer``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from components.model.config import ModelConfig

Tensor = Any
# Added to the score of a token that must not be seen: softmax turns it into 0.
NEVER = -1e30
NORM_EPSILON = 1e-5
_ROTARY_BASE = 10_000.0


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, out_type: str) -> Tensor:
    """(x − mean) / √(variance + 1e-5) · γ + β over the last axis (Ba, Kiros and Hinton 2016, equation 3)."""
    centred = x - _mean(x)
    normal = centred * ops.rsqrt(_mean(ops.square(centred)) + NORM_EPSILON)
    return ops.cast(normal * gamma + beta, out_type)


def rms_norm(x: Tensor, gamma: Tensor, out_type: str) -> Tensor:
    """x / √(mean of squares + 1e-5) · γ over the last axis (Zhang and Sennrich 2019, equation 4)."""
    return ops.cast(x * ops.rsqrt(_mean(ops.square(x)) + NORM_EPSILON) * gamma, out_type)


def add(x: Tensor, branch: Tensor, bias: Tensor | None) -> Tensor:
    """The residual stream, float32, with a branch and its bias."""
    wide = ops.cast(branch, "float32")
    return x + (wide if bias is None else wide + bias)


def gelu(x: Tensor, bias: Tensor) -> Tensor:
    """(x + bias) · Φ(x + bias) (Hendrycks and Gimpel 2016, section 2)."""
    return ops.cast(ops.gelu(ops.cast(x, "float32") + bias, approximate=False), x.dtype)


def swiglu(x: Tensor) -> Tensor:
    """gate · σ(gate) · up of gate and up side by side (Shazeer 2020, equation 6).  # [..., 2F] → [..., F]"""
    gate, up = ops.split(ops.cast(x, "float32"), 2, axis=-1)
    return ops.cast(gate * ops.sigmoid(gate) * up, x.dtype)


def heads_of(joined: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [B, H, T, K], keys and values [B, G, T, K] from their joined projections [B, T, (H + 2G) K].

    Where positions are rotary, queries and keys are turned by their position.
    """
    num_queries, num_keys = config.num_heads * config.head_width, config.key_value_heads * config.head_width
    parts = ops.split(joined, [num_queries, num_queries + num_keys], axis=-1)
    query, key, value = (
        ops.transpose(ops.reshape(part, (*part.shape[:2], -1, config.head_width)), (0, 2, 1, 3)) for part in parts
    )
    if config.positions == "rotary":
        positions = ops.arange(joined.shape[1])
        query, key = rotate(query, positions), rotate(key, positions)
    return query, key, value


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    """Each pair (x_k, x_{k + K/2}) turned by position · 10000^(−2k/K) (Su et al. 2021, equation 34).  # [B, H, T, K]"""
    half = x.shape[-1] // 2
    speeds = np.float32(_ROTARY_BASE) ** (-np.arange(half, dtype=np.float32) / half)
    angles = ops.expand_dims(ops.cast(positions, "float32"), 1) * speeds  # [T, K / 2]
    cos, sin = ops.cos(angles), ops.sin(angles)
    first, second = ops.split(ops.cast(x, "float32"), 2, axis=-1)
    return ops.cast(ops.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1), x.dtype)


def merge(heads: Tensor) -> Tensor:
    """What the heads found, side by side.  # [B, H, T, K] → [B, T, D]"""
    side_by_side = ops.transpose(heads, (0, 2, 1, 3))
    return ops.reshape(side_by_side, (*side_by_side.shape[:2], heads.shape[1] * heads.shape[3]))


def attend(joined: Tensor, config: ModelConfig) -> Tensor:
    """Multi-head causal attention from its joined projections (Vaswani et al. 2017, section 3.2.2).  # → [B, T, D]"""
    query, key, value = heads_of(joined, config)
    return merge(causal_attention(query, key, value))


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query · keyᵀ / √K) · value, where no token sees a later one (Vaswani et al. 2017, equation 1).

    Of the queries [B, H, T, K], H / G neighbouring heads share one of keys and values [B, G, T, K] (Ainslie et al.
    2023).  # [B, H, T, K]
    """
    shared = query.shape[1] // key.shape[1]
    key, value = share(key, shared), share(value, shared)
    positions = ops.arange(query.shape[2])  # [T]
    unseen = ops.expand_dims(positions, 0) > ops.expand_dims(positions, 1)  # [T, T]
    scores = ops.matmul(query * query.shape[-1] ** -0.5, ops.swapaxes(key, -1, -2))  # [B, H, T, T]
    scores = ops.where(unseen, NEVER, ops.cast(scores, "float32"))
    return ops.matmul(ops.cast(softmax(scores), query.dtype), value)  # [B, H, T, K]


def share(heads: Tensor, times: int) -> Tensor:
    """Each head ``times`` times in a row.  # [B, G, T, K] → [B, G · times, T, K]"""
    return heads if times == 1 else ops.repeat(heads, times, axis=1)


def softmax(scores: Tensor) -> Tensor:
    """exp(s) / Σ exp(s) over the last axis."""
    # Keras warns of a softmax over one number, which the first token of a text has.
    return ops.softmax(scores) if scores.shape[-1] > 1 else ops.ones_like(scores)


def next_token_loss(
    hidden: Tensor, output: Tensor, targets: Tensor, z_weight: float = 0.0, token_weights: Tensor | None = None
) -> Tensor:
    """Mean over tokens of −log softmax(z)[target] + z_weight · (log Σ exp z)², in nats, where z = hidden · outputᵀ.

    The second term keeps the logits from drifting (Chowdhery et al. 2022, section 5).

    Args:
        hidden: last hidden states, of the type to compute in.  # [B, T, D]
        output: a row for each token, float32.                  # [V, D]
        targets: token numbers.                                 # [B, T]
        z_weight: weight of the second term.
        token_weights: what each token's loss is multiplied by before the mean; nothing is 1.  # [B, T]
    """
    logits = ops.cast(ops.matmul(hidden, ops.transpose(ops.cast(output, hidden.dtype))), "float32")  # [B, T, V]
    chosen = ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(targets, -1), axis=-1), -1)  # [B, T]
    total = ops.logsumexp(logits, axis=-1)  # [B, T]
    losses = total - chosen + z_weight * ops.square(total)
    return ops.mean(losses if token_weights is None else token_weights * losses)


def _mean(x: Tensor) -> Tensor:
    return ops.mean(x, axis=-1, keepdims=True)
