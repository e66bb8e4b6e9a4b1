"""The loss of each token: what evaluation adds up per document.

In: a model and windows. Out: nats per target. In between: float32, and the logits of a few sequences at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from components.model.transformer import Transformer

_TOKENS_AT_ONCE = 1024


def token_losses(model: Transformer, windows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """−log p of each token after the first, given those before it in its window [B, T + 1].  # [B, T] nats"""
    rows = max(1, _TOKENS_AT_ONCE // windows.shape[1])
    groups = [windows[start : start + rows] for start in range(0, len(windows), rows)]
    return np.concatenate([ops.convert_to_numpy(losses_of(model, group)) for group in groups])


def losses_of(model: Transformer, windows: Any) -> Any:
    """As ``token_losses``, on tensors and for as many windows as memory holds the logits of."""
    logits = model(windows[:, :-1])  # [B, T, V]
    targets = ops.expand_dims(windows[:, 1:], -1)
    return ops.logsumexp(logits, axis=-1) - ops.squeeze(ops.take_along_axis(logits, targets, axis=-1), -1)  # [B, T]
