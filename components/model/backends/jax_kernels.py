"""The formulas of the model for training with JAX, whose compiler fuses the plain ones by itself.

In: tensors. Out: tensors. In between: two differ. JAX's own attention runs as flash attention (Dao et al. 2022) where a
graphics card and cuDNN have it for the type, and as the plain formula elsewhere. The logits exist for some tokens at
once, and their part of the gradient with them.
"""

from __future__ import annotations

from typing import Any

import jax
from jax import numpy as jnp
from keras import ops

from components.model import formulas
from components.model.config import ModelConfig
from components.model.formulas import add, gelu, layer_norm, rms_norm, swiglu

__all__ = ["add", "attend", "gelu", "layer_norm", "next_token_loss", "rms_norm", "swiglu"]

# Tokens whose logits exist at once: 1.6 GB of them in float32 at GPT-2's vocabulary.
_MOST_LOGITS = 8192


def attend(joined: Any, config: ModelConfig) -> Any:
    """``formulas.attend``."""
    if joined.dtype != "bfloat16" or jax.default_backend() != "gpu":
        return formulas.attend(joined, config)
    query, key, value = (ops.transpose(part, (0, 2, 1, 3)) for part in formulas.heads_of(joined, config))
    mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True, implementation="cudnn")  # [B, T, H, K]
    return ops.reshape(mixed, (*mixed.shape[:2], mixed.shape[2] * mixed.shape[3]))


def next_token_loss(
    hidden: Any, output: Any, targets: Any, z_weight: float = 0.0, token_weights: Any | None = None
) -> Any:
    """``formulas.next_token_loss``, group by group of tokens."""
    num_tokens = targets.shape[0] * targets.shape[1]
    shares = jnp.ones(targets.shape) if token_weights is None else token_weights
    num_groups = next(n for n in range(1, num_tokens + 1) if num_tokens % n == 0 and num_tokens // n <= _MOST_LOGITS)

    def in_groups(array: Any) -> Any:
        return jnp.reshape(array, (num_groups, 1, -1, *array.shape[2:]))

    def of_group(states: Any, output: Any, targets: Any, shares: Any) -> Any:
        return formulas.next_token_loss(states, output, targets, z_weight, shares) / num_groups

    def with_gradient(hidden: Any, output: Any) -> Any:
        def add_group(total: Any, group: Any) -> Any:
            loss, (d_states, d_output) = jax.value_and_grad(of_group, argnums=(0, 1))(group[0], output, *group[1:])
            return (total[0] + loss, total[1] + d_output), d_states

        nothing = jnp.zeros(()), jnp.zeros_like(output)
        (loss, d_output), d_hidden = jax.lax.scan(add_group, nothing, tuple(map(in_groups, (hidden, targets, shares))))
        return loss, (jnp.reshape(d_hidden, hidden.shape), d_output)

    def pull_back(gradients: Any, d_loss: Any) -> Any:
        return jax.tree.map(lambda gradient: (gradient * d_loss).astype(gradient.dtype), gradients)

    loss = jax.custom_vjp(lambda hidden, output: with_gradient(hidden, output)[0])
    loss.defvjp(with_gradient, pull_back)
    return loss(hidden, ops.convert_to_tensor(output))
