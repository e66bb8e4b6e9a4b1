"""What the model needs of TensorFlow by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# A graph for each combination of shapes is what is wanted here; TensorFlow warns of every one after the fifth.
tf.get_logger().setLevel("ERROR")


def compiled(function: Callable[..., Any], _model: Any) -> Callable[..., Any]:
    """``function`` of tensors as a graph, one for each combination of shapes that it meets.

    Without XLA, which would compile anew for each shape and take longer than it saves.
    """
    graph: Callable[..., Any] = tf.function(function, autograph=False, jit_compile=False)
    return graph


def uniform(shape: tuple[int, ...], seed: Sequence[Any]) -> Any:
    """Numbers from 0 to 1 that depend on shape and seed, a few whole numbers, alone."""
    key = tf.constant([0, 0], tf.int32)
    for number in seed:
        key = tf.random.experimental.stateless_fold_in(key, tf.cast(number, tf.int32))
    return tf.random.stateless_uniform(shape, key, alg="philox")
