"""What the model needs of TensorFlow by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of tensors as a graph, one for each combination of shapes that it meets.

    Without XLA, which would compile anew for each shape and take longer than it saves.
    """
    graph: Callable[..., Any] = tf.function(function, autograph=False, jit_compile=False)
    return graph
