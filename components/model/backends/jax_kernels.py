"""The formulas of the model for training with JAX, whose compiler fuses the plain ones by itself.

In: tensors. Out: tensors. In between: only attention differs. JAX's own runs as flash attention (Dao et al. 2022)
where a graphics card and cuDNN have it for the type, and as the plain formula elsewhere.
"""

from __future__ import annotations

from typing import Any

import jax
from keras import ops

from components.model import formulas
from components.model.config import ModelConfig
from components.model.formulas import add, gelu, layer_norm, next_token_loss, rms_norm, swiglu

__all__ = ["add", "attend", "gelu", "layer_norm", "next_token_loss", "rms_norm", "swiglu"]


def attend(joined: Any, config: ModelConfig) -> Any:
    """``formulas.attend``."""
    if joined.dtype != "bfloat16" or jax.default_backend() != "gpu":
        return formulas.attend(joined, config)
    query, key, value = (ops.transpose(part, (0, 2, 1, 3)) for part in formulas.heads_of(joined, config))
    mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True, implementation="cudnn")  # [B, T, H, K]
    return ops.reshape(mixed, (*mixed.shape[:2], mixed.shape[2] * mixed.shape[3]))
