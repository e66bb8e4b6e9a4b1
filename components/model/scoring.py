"""The loss of each token, and what the model held likeliest: what evaluation adds up per document.

In: a model and windows. Out: nats per target. In between: float32, and each processor holds the logits of at most
1024 tokens. How windows are grouped does not depend on the number of processors.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from components.model.transformer import Transformer

_TOKENS_AT_ONCE = 1024


def token_losses(model: Transformer, windows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """−log p of each token after the first, given those before it in its window [B, T + 1].  # [B, T] nats

    The first call with each length of windows compiles.
    """
    return _in_groups(model.compiled_losses, windows)


def token_judgements(model: Transformer, windows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """``Transformer.judgements``: loss, probability of the likeliest token, whether it was right.  # [B, T, 3]"""
    return _in_groups(model.compiled_judgements, windows)


def answer_losses(
    model: Transformer, windows: npt.NDArray[np.int32], places: npt.NDArray[np.int32]
) -> npt.NDArray[np.float32]:
    """−log p of some of the tokens after the first of each window [B, T + 1], those at ``places`` [B, A] from 0 on.

    As ``token_losses``, but no logits of other tokens are worked out.  # [B, A] nats
    """
    return _in_groups(model.compiled_answer_losses, windows, places)


def _in_groups(compiled: Callable[..., Any], *arrays: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    num_windows, width = arrays[0].shape
    rows = max(1, _TOKENS_AT_ONCE // (width - 1))
    groups = ([array[start : start + rows] for array in arrays] for start in range(0, num_windows, rows))
    # The last group is filled up by repeating it, so that there is one graph per length.
    whole = ([np.resize(part, (rows, part.shape[1])) for part in group] for group in groups)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = pool.map(lambda group: ops.convert_to_numpy(compiled(*map(ops.convert_to_tensor, group))), whole)
        return np.concatenate(list(found))[:num_windows]
