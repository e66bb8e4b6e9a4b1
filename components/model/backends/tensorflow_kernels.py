"""The formulas of the model for training with TensorFlow on processors: the same numbers, sooner.

In: tensors. Out: tensors. In between: the matrix products and softmax are left to oneDNN; what lies between them is
compiled piece by piece, float32 inside, the compute type outside, each piece with its gradient written out. A matrix
product never stands inside a compiled piece: the compiler's own is several times slower. Half of the attention and
most of the logits never exist.

Sums of three and more tensors are written as one sum over a stack. TensorFlow would add them up in the order in
which their memory happens to be free, so operations that run side by side would change the last bits.
The functions and the shape letters are those of ``formulas`` and ``transformer``; N is B T.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from components.model import formulas
from components.model.config import ModelConfig
from components.model.formulas import NEVER, NORM_EPSILON

Tensor = Any
# Queries per block of attention, and tokens whose logits exist at once: the fastest of those measured on two cores.
_BLOCK_QUERIES = 256
_BLOCK_LOGITS = 1024
_ROOT_HALF, _ROOT_TWO_PI_INVERSE = 0.7071067811865476, 0.3989422804014327


def _fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of element-wise operations and short sums as one compiled piece."""
    piece: Callable[..., Any] = tf.function(function, autograph=False, jit_compile=True)
    return piece


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, out_type: str) -> Tensor:
    """``formulas.layer_norm``."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def normalise(x: Tensor, gamma: Tensor, beta: Tensor) -> Any:
        output, mean, scale = _layer_norm(out_type)(x, gamma, beta)
        return output, lambda d_output: _layer_norm_gradient(d_output, x, gamma, mean, scale)

    return normalise(x, _value(gamma), _value(beta))


@cache
def _layer_norm(out_type: str) -> Callable[..., Any]:
    def forward(x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = _mean(x)
        centred = x - mean
        scale = tf.math.rsqrt(_mean(tf.square(centred)) + NORM_EPSILON)
        return tf.cast(centred * scale * gamma + beta, out_type), mean, scale

    return _fused(forward)


@_fused
def _layer_norm_gradient(
    d_output: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_output, normal = _wide(d_output), (x - mean) * scale
    d_normal = d_output * gamma
    d_x = scale * (d_normal - _mean(d_normal) - normal * _mean(d_normal * normal))
    return d_x, _sum_rows(d_output * normal), _sum_rows(d_output)


def rms_norm(x: Tensor, gamma: Tensor, out_type: str) -> Tensor:
    """``formulas.rms_norm``."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def normalise(x: Tensor, gamma: Tensor) -> Any:
        output, scale = _rms_norm(out_type)(x, gamma)
        return output, lambda d_output: _rms_norm_gradient(d_output, x, gamma, scale)

    return normalise(x, _value(gamma))


@cache
def _rms_norm(out_type: str) -> Callable[..., Any]:
    def forward(x: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        scale = tf.math.rsqrt(_mean(tf.square(x)) + NORM_EPSILON)
        return tf.cast(x * scale * gamma, out_type), scale

    return _fused(forward)


@_fused
def _rms_norm_gradient(d_output: Tensor, x: Tensor, gamma: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    d_output, normal = _wide(d_output), x * scale
    d_normal = d_output * gamma
    return scale * (d_normal - normal * _mean(d_normal * normal)), _sum_rows(d_output * normal)


def add(x: Tensor, branch: Tensor, bias: Tensor | None) -> Tensor:
    """``formulas.add``."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def plain(x: Tensor, branch: Tensor) -> Any:
        return _add(x, branch), lambda d_sum: (d_sum, tf.cast(d_sum, branch.dtype))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def biased(x: Tensor, branch: Tensor, bias: Tensor) -> Any:
        return _add(x, branch, bias), lambda d_sum: (d_sum, *_biased_gradient(branch.dtype.name)(d_sum))

    return plain(x, branch) if bias is None else biased(x, branch, _value(bias))


@_fused
def _add(*terms: Tensor) -> Tensor:
    return sum(map(_wide, terms[1:]), terms[0])


@cache
def _biased_gradient(branch_type: str) -> Callable[..., Any]:
    return _fused(lambda d_sum: (tf.cast(d_sum, branch_type), _sum_rows(d_sum)))


def gelu(x: Tensor, bias: Tensor) -> Tensor:
    """``formulas.gelu``."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def activate(x: Tensor, bias: Tensor) -> Any:
        return _gelu(x, bias), lambda d_output: _gelu_gradient(d_output, x, bias)

    return activate(x, _value(bias))


@_fused
def _gelu(x: Tensor, bias: Tensor) -> Tensor:
    inner = _wide(x) + bias
    return tf.cast(inner * _normal_share(inner), x.dtype)


@_fused
def _gelu_gradient(d_output: Tensor, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    inner = _wide(x) + bias
    slope = _normal_share(inner) + inner * tf.exp(-0.5 * inner * inner) * _ROOT_TWO_PI_INVERSE
    d_inner = _wide(d_output) * slope
    return tf.cast(d_inner, x.dtype), _sum_rows(d_inner)


def swiglu(x: Tensor) -> Tensor:
    """``formulas.swiglu``."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def activate(x: Tensor) -> Any:
        return _swiglu(x), lambda d_output: _swiglu_gradient(d_output, x)

    return activate(x)


_swiglu = _fused(formulas.swiglu)


@_fused
def _swiglu_gradient(d_output: Tensor, x: Tensor) -> Tensor:
    gate, up = tf.split(_wide(x), 2, axis=-1)
    d_output, share = _wide(d_output), tf.sigmoid(gate)
    d_gate = d_output * up * share * (1 + gate * (1 - share))
    return tf.cast(tf.concat([d_gate, d_output * gate * share], axis=-1), x.dtype)


def attend(joined: Tensor, config: ModelConfig) -> Tensor:
    """``formulas.attend``.

    A block of queries meets only the keys up to its own end: what lies beyond would be masked away. The gradient
    keeps the probabilities and uses Σ_s P dP = Σ_k O dO, as in Dao et al. 2022, appendix B.2.
    """
    split, merge = _split(config), _merge(config)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def attention(joined: Tensor) -> Any:
        query, key, value = split(joined)
        starts = range(0, query.shape[2], _BLOCK_QUERIES)
        blocks = [_attend_block(query, key, value, start) for start in starts]
        output = tf.concat([out for out, _ in blocks], axis=2)  # [B, H, T, K]

        def gradient(d_mixed: Tensor) -> Tensor:
            shape = (*d_mixed.shape[:2], config.num_heads, config.head_width)
            d_output = tf.transpose(tf.reshape(d_mixed, shape), (0, 2, 1, 3))  # [B, H, T, K]
            parts = [
                _gradient_of_block(query, key, value, d_output, start, *block)
                for start, block in zip(starts, blocks, strict=True)
            ]
            d_query, d_key, d_value = zip(*parts, strict=True)
            return merge(tf.concat(d_query, axis=2), tf.stack(d_key), tf.stack(d_value))

        return formulas.merge(output), gradient

    return attention(joined)


@cache
def _split(config: ModelConfig) -> Callable[..., Any]:
    """Scaled queries, keys and values, the latter repeated for the queries that share them: [B, H, T, K] each."""
    shared = config.num_heads // config.key_value_heads

    def forward(joined: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = formulas.heads_of(joined, config)
        scaled = query * tf.cast(config.head_width**-0.5, query.dtype)
        return scaled, _repeat(key, shared), _repeat(value, shared)

    return _fused(forward)


@cache
def _merge(config: ModelConfig) -> Callable[..., Any]:
    """The gradient of ``_split``; those of keys and values are stacks with an entry for each block of queries."""
    groups, shared = config.key_value_heads, config.num_heads // config.key_value_heads

    def backward(d_query: Tensor, d_keys: Tensor, d_values: Tensor) -> Tensor:
        num_sequences, _, num_tokens, head_width = d_query.shape
        grouped = (d_keys.shape[0], num_sequences, groups, shared, num_tokens, head_width)
        d_key, d_value = (
            tf.cast(tf.reduce_sum(_wide(tf.reshape(d, grouped)), axis=(0, 3)), d_query.dtype)
            for d in (d_keys, d_values)
        )
        d_query *= tf.cast(config.head_width**-0.5, d_query.dtype)
        if config.positions == "rotary":
            back = -tf.range(num_tokens)  # a turn's gradient is the turn back
            d_query, d_key = formulas.rotate(d_query, back), formulas.rotate(d_key, back)
        return tf.concat([formulas.merge(d) for d in (d_query, d_key, d_value)], axis=-1)

    return _fused(backward)


def _repeat(heads: Tensor, times: int) -> Tensor:
    return heads if times == 1 else tf.repeat(heads, times, axis=1)


def _attend_block(query: Tensor, key: Tensor, value: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Output and probabilities of the queries from ``start``."""
    stop = min(start + _BLOCK_QUERIES, query.shape[2])
    scores = tf.matmul(query[:, :, start:stop], key[:, :, :stop], transpose_b=True)  # [B, H, stop - start, stop]
    unseen = np.where(np.tri(stop - start, stop, start, dtype=bool), np.float32(0), np.float32(NEVER))
    probabilities = tf.nn.softmax(scores + tf.constant(unseen, scores.dtype))
    return tf.matmul(probabilities, value[:, :, :stop]), probabilities


def _gradient_of_block(
    query: Tensor, key: Tensor, value: Tensor, d_output: Tensor, start: int, output: Tensor, probabilities: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    stop = probabilities.shape[3]
    d_output = d_output[:, :, start:stop]
    d_probabilities = tf.matmul(d_output, value[:, :, :stop], transpose_b=True)  # [B, H, stop - start, stop]
    d_scores = _softmax_gradient(probabilities, d_probabilities, output, d_output)
    later = [[0, 0], [0, 0], [0, key.shape[2] - stop], [0, 0]]
    return (
        tf.matmul(d_scores, key[:, :, :stop]),
        tf.pad(tf.matmul(d_scores, query[:, :, start:stop], transpose_a=True), later),
        tf.pad(tf.matmul(probabilities, d_output, transpose_a=True), later),
    )


@_fused
def _softmax_gradient(probabilities: Tensor, d_probabilities: Tensor, output: Tensor, d_output: Tensor) -> Tensor:
    expected = tf.reduce_sum(_wide(output) * _wide(d_output), axis=-1, keepdims=True)
    return tf.cast(_wide(probabilities) * (_wide(d_probabilities) - expected), probabilities.dtype)


def next_token_loss(
    hidden: Tensor, output: Tensor, targets: Tensor, z_weight: float = 0.0, token_weights: Tensor | None = None
) -> Tensor:
    """``formulas.next_token_loss``.

    With the logits of some tokens go their probabilities, and with those their part of the gradient,
    (softmax(logits) − onehot(targets)) / N: the one-hot part is a look-up and a sum by token. The logits of the next
    tokens take their place. The logarithm of Σ exp z is worked out from the target's logit and probability.
    """
    width, num_tokens = hidden.shape[-1], hidden.shape[0] * hidden.shape[1]
    targets = tf.reshape(targets, (num_tokens,))
    is_plain = token_weights is None and not z_weight
    shares = tf.ones(num_tokens) if token_weights is None else tf.reshape(token_weights, (num_tokens,))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(hidden: Tensor, output: Tensor) -> Any:
        weights = tf.cast(output, hidden.dtype)
        totals, chances = list[Tensor](), list[Tensor]()
        d_hidden, d_output = list[Tensor](), list[Tensor]()
        for start in range(0, num_tokens, _BLOCK_LOGITS):
            states, chosen = hidden[start : start + _BLOCK_LOGITS], targets[start : start + _BLOCK_LOGITS]
            with tf.control_dependencies(d_output[-1:]):  # one group after the other
                logits = tf.matmul(states, weights, transpose_b=True)  # [rows, V]
            probabilities = tf.nn.softmax(logits)
            chances.append(_chosen(probabilities, chosen))
            totals.append(_log_total(_chosen(logits, chosen), chances[-1]))
            d_hidden.append(tf.matmul(probabilities, weights))
            own = shares[start : start + _BLOCK_LOGITS]
            pulled = states if is_plain else _pull(states, totals[-1], own, tf.constant(z_weight))
            d_output.append(tf.matmul(probabilities, pulled, transpose_a=True))
        chance, total = tf.concat(chances, 0), tf.concat(totals, 0)
        d_states = _d_states(tf.concat(d_hidden, 0), tf.gather(weights, targets), total, shares, tf.constant(z_weight))
        targeted = tf.math.unsorted_segment_sum(_shared(hidden, shares), targets, output.shape[0])

        def gradient(d_loss: Tensor) -> tuple[Tensor, Tensor]:
            return tf.cast(_wide(d_states) * d_loss, hidden.dtype), _d_weights(d_loss / num_tokens, targeted, *d_output)

        return _mean_loss(chance, total, shares, tf.constant(z_weight)), gradient

    return loss(tf.reshape(hidden, (num_tokens, width)), _value(output))


@_fused
def _log_total(logit: Tensor, chance: Tensor) -> Tensor:
    return _wide(logit) - _log(chance)


@_fused
def _pull(states: Tensor, totals: Tensor, shares: Tensor, z_weight: Tensor) -> Tensor:
    return tf.cast(_wide(states) * tf.expand_dims(shares * (1 + 2 * z_weight * totals), 1), states.dtype)


@_fused
def _d_states(pushed: Tensor, targeted: Tensor, totals: Tensor, shares: Tensor, z_weight: Tensor) -> Tensor:
    wide = _wide(pushed) * tf.expand_dims(1 + 2 * z_weight * totals, 1) - _wide(targeted)
    return tf.cast(wide * tf.expand_dims(shares / totals.shape[0], 1), pushed.dtype)


@_fused
def _shared(states: Tensor, shares: Tensor) -> Tensor:
    return _wide(states) * tf.expand_dims(shares, 1)


@_fused
def _d_weights(scale: Tensor, targeted: Tensor, *pushed: Tensor) -> Tensor:
    return (tf.reduce_sum(tf.stack([_wide(part) for part in pushed]), axis=0) - targeted) * scale


@_fused
def _mean_loss(chance: Tensor, total: Tensor, shares: Tensor, z_weight: Tensor) -> Tensor:
    return tf.reduce_mean(shares * (z_weight * tf.square(total) - _log(chance)))


def _chosen(rows: Tensor, columns: Tensor) -> Tensor:
    return tf.gather_nd(rows, tf.stack([tf.range(columns.shape[0], dtype=columns.dtype), columns], axis=1))


def _log(chance: Tensor) -> Tensor:
    return tf.math.log(tf.maximum(_wide(chance), np.finfo("float32").tiny))


def _normal_share(x: Tensor) -> Tensor:
    return 0.5 * (1 + tf.math.erf(x * _ROOT_HALF))


def _mean(x: Tensor) -> Tensor:
    return tf.reduce_mean(x, axis=-1, keepdims=True)


def _sum_rows(x: Tensor) -> Tensor:
    return tf.reduce_sum(x, axis=tuple(range(len(x.shape) - 1)))


def _wide(x: Tensor) -> Tensor:
    return tf.cast(x, tf.float32)


def _value(weight: Tensor) -> Tensor:
    # TensorFlow wants other gradients where a function with a gradient of its own meets a variable.
    return tf.convert_to_tensor(weight)
