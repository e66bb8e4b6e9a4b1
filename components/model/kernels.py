"""The costly formulas of the model; those that training meets have their gradients written out.

In: tensors. Out: tensors. In between: exact arithmetic of the plain formulas, arranged so that half of the
attention and most of the logits need never exist. All is in keras.ops, so it runs on every backend.
The shape letters are those of ``transformer``.

Sums of three and more tensors are written as one sum over a stack. TensorFlow would add them up in the order in
which their memory happens to be free, so operations that run side by side would change the last bits; for the same
reason the gradients here give each tensor two terms at most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

Tensor = Any
# Queries per block of attention, and tokens whose logits exist at once: the fastest of those measured on two cores.
_BLOCK_QUERIES = 256
_BLOCK_LOGITS = 1024
# Added to the score of a token that must not be seen: softmax turns it into 0.
_NEVER = -1e30
_NORM_EPSILON = 1e-5


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """(x − mean) / √(variance + 1e-5) · γ + β over the last axis (Ba, Kiros and Hinton 2016, equation 3)."""
    axes = tuple(range(len(x.shape) - 1))

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def normalise(x: Tensor, gamma: Tensor, beta: Tensor) -> Any:
        centred = x - _mean(x)
        scale = ops.rsqrt(_mean(ops.square(centred)) + _NORM_EPSILON)
        normal = centred * scale

        def gradient(*args: Any, upstream: Any = None) -> tuple[Tensor, Tensor, Tensor]:
            d_output = args[0] if upstream is None else upstream
            d_normal = d_output * gamma
            d_x = scale * (d_normal - (_mean(d_normal) + normal * _mean(d_normal * normal)))
            return d_x, ops.sum(d_output * normal, axis=axes), ops.sum(d_output, axis=axes)

        return normal * gamma + beta, gradient

    # Copies, because TensorFlow wants other gradients where it meets a variable.
    return normalise(x, ops.copy(gamma), ops.copy(beta))


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query · keyᵀ / √K) · value, where no token sees a later one (Vaswani et al. 2017, section 3.2.1).

    All three arguments and the result are [B, H, T, K].

    A block of queries meets only the keys up to its own end: what lies beyond would be masked away. The gradient
    keeps the probabilities and uses Σ_s P dP = Σ_k O dO, as in Dao et al. 2022, appendix B.2.
    """

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Any:
        blocks = [_attend_block(query, key, value, start) for start in _starts(query)]
        output = ops.concatenate([out for out, _ in blocks], axis=2)  # [B, H, T, K]

        def gradient(*args: Any, upstream: Any = None) -> tuple[Tensor, Tensor, Tensor]:
            d_output = args[0] if upstream is None else upstream
            parts = [
                _gradient_of_block(query, key, value, d_output, start, *block)
                for start, block in zip(_starts(query), blocks, strict=True)
            ]
            d_query, d_key, d_value = zip(*parts, strict=True)
            sums = (ops.sum(ops.stack(parts), axis=0) for parts in (d_key, d_value))
            return ops.concatenate(d_query, axis=2), *sums

        return output, gradient

    return attend(query * key.shape[-1] ** -0.5, key, value)


def _starts(query: Tensor) -> range:
    return range(0, query.shape[2], _BLOCK_QUERIES)


def _attend_block(query: Tensor, key: Tensor, value: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Output and probabilities of the queries from ``start``."""
    stop = min(start + _BLOCK_QUERIES, query.shape[2])
    scores = ops.matmul(query[:, :, start:stop], _swap(key[:, :, :stop]))  # [B, H, stop - start, stop]
    unseen = ~np.tri(stop - start, stop, start, dtype=bool)
    scores = ops.cast(scores, "float32") + unseen * np.float32(_NEVER)
    probabilities = ops.cast(_softmax(scores), query.dtype)
    return ops.matmul(probabilities, value[:, :, :stop]), probabilities


def _gradient_of_block(
    query: Tensor, key: Tensor, value: Tensor, d_output: Tensor, start: int, output: Tensor, probabilities: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    stop = probabilities.shape[3]
    d_output = d_output[:, :, start:stop]
    d_probabilities = ops.matmul(d_output, _swap(value[:, :, :stop]))  # [B, H, stop - start, stop]
    expected = ops.sum(ops.cast(output * d_output, "float32"), axis=-1, keepdims=True)
    wide = ops.cast(probabilities, "float32") * (ops.cast(d_probabilities, "float32") - expected)
    d_scores = ops.cast(wide, query.dtype)
    later = [[0, 0], [0, 0], [0, key.shape[2] - stop], [0, 0]]
    return (
        ops.matmul(d_scores, key[:, :, :stop]),
        ops.pad(ops.matmul(_swap(d_scores), query[:, :, start:stop]), later),
        ops.pad(ops.matmul(_swap(probabilities), d_output), later),
    )


def cached_attention(query: Tensor, key: Tensor, value: Tensor, start: Tensor) -> Tensor:
    """Causal attention of the tokens from position ``start`` on, [B, H, T, K], over a memory, [B, H, C, K].

    What the memory holds after the last of the tokens has no weight.
    """
    positions = start + ops.arange(query.shape[2])  # [T]
    unseen = ops.expand_dims(ops.arange(key.shape[2]), 0) > ops.expand_dims(positions, 1)  # [T, C]
    scores = ops.matmul(query * query.shape[-1] ** -0.5, _swap(key))  # [B, H, T, C]
    scores = ops.where(unseen, _NEVER, ops.cast(scores, "float32"))
    return ops.matmul(ops.cast(_softmax(scores), query.dtype), value)  # [B, H, T, K]


def next_token_loss(hidden: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, of the logits ``hidden · embeddingᵀ`` against ``targets``.

    Args:
        hidden: last hidden states, of the type to compute in.  # [B, T, D]
        embedding: the tied output weights, float32.            # [V, D]
        targets: token numbers.                                 # [B, T]

    The gradient, (softmax(logits) − onehot(targets)) / (B T), is worked out while the logits of a group of sequences
    are at hand; the logits of the next group take their place. Softmax and sums are float32.
    """
    num_sequences, num_tokens, width = hidden.shape
    rows = _rows_per_group(num_sequences, num_tokens) * num_tokens
    num_rows = num_sequences * num_tokens
    targets = ops.reshape(targets, (num_rows,))

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def loss(hidden: Tensor, embedding: Tensor) -> Any:
        weights = ops.cast(embedding, hidden.dtype)

        def add_group(group: Tensor, state: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            d_hidden, d_embedding, chances = state
            start = group * rows
            states = ops.slice(hidden, (start, 0), (rows, width))  # [rows, D]
            chosen = ops.expand_dims(ops.slice(targets, (start,), (rows,)), 1)  # [rows, 1]
            wide = ops.softmax(ops.cast(ops.matmul(states, _swap(weights)), "float32"))  # [rows, V]
            probabilities = ops.cast(wide, hidden.dtype)
            return (
                ops.slice_update(d_hidden, (start, 0), ops.matmul(probabilities, weights)),
                d_embedding + ops.cast(ops.matmul(_swap(probabilities), states), "float32"),
                ops.slice_update(chances, (start, 0), ops.take_along_axis(wide, chosen, axis=1)),
            )

        empty = ops.zeros_like(hidden), ops.zeros_like(embedding), ops.zeros((num_rows, 1))
        d_hidden, d_embedding, chances = ops.fori_loop(0, num_rows // rows, add_group, empty)
        d_hidden = ops.cast(d_hidden, "float32") - ops.cast(ops.take(weights, targets, axis=0), "float32")
        targeted = ops.segment_sum(ops.cast(hidden, "float32"), targets, num_segments=embedding.shape[0])

        def gradient(*args: Any, upstream: Any = None) -> tuple[Tensor, Tensor]:
            scale = (args[0] if upstream is None else upstream) / num_rows
            return ops.cast(d_hidden * scale, hidden.dtype), (d_embedding - targeted) * scale

        return -ops.mean(ops.log(ops.maximum(chances, np.finfo("float32").tiny))), gradient

    return loss(ops.reshape(hidden, (num_rows, width)), ops.copy(embedding))


def _rows_per_group(num_sequences: int, num_tokens: int) -> int:
    """The most sequences of which the logits may exist at once, so that groups are equal; at least one."""
    fitting = (n for n in range(num_sequences, 0, -1) if num_sequences % n == 0 and n * num_tokens <= _BLOCK_LOGITS)
    return next(fitting, 1)


def _softmax(scores: Tensor) -> Tensor:
    # Keras warns of a softmax over one number, which the first token of a text has.
    return ops.softmax(scores) if scores.shape[-1] > 1 else ops.ones_like(scores)


def _swap(x: Tensor) -> Tensor:
    # In a compiled step this never happens: the compiler folds it into the multiplication.
    return ops.swapaxes(x, -1, -2)


def _mean(x: Tensor) -> Tensor:
    return ops.mean(x, axis=-1, keepdims=True)
