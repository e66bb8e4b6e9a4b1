"""A decoder-only Transformer: token numbers in, logits of each next token out.

Learned positions, pre-norm, causal multi-head attention, exact GELU, output tied to the embedding, as in GPT-2
(Radford et al. 2019, section 2.3). The residual stream is float32; the matrix products may run in bfloat16.
What is true in between: a later token never changes an earlier logit, and a cache changes no logit.

Shape letters:
    B sequences   T tokens of a sequence   P tokens before them, in a cache   S = P + T
    D width       H heads                  K = D / H width of a head          V vocabulary   F feed-forward width
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from components.model.config import ModelConfig
from components.model.kernels import causal_attention

Tensor = Any
Past = tuple[Tensor, Tensor]  # keys and values of one block: [B, H, S, K] each
ComputeType = Literal["float32", "bfloat16"]

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_NORM_EPSILON = 1e-5
_INITIAL_DEVIATION = 0.02


class Block(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: ModelConfig, compute_type: ComputeType, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        policy = _POLICIES[compute_type]
        self.num_heads = config.num_heads
        self.attention_norm = _norm("attention_norm")
        self.query_key_value = _dense(3 * config.width, policy, "query_key_value", use_bias=False)
        self.attention_output = _dense(config.width, policy, "attention_output", use_bias=False)
        self.feed_forward_norm = _norm("feed_forward_norm")
        self.feed_forward_in = _dense(config.feed_forward_width, policy, "feed_forward_in")
        self.feed_forward_out = _dense(config.width, policy, "feed_forward_out")

    @property
    def parts(self) -> list[Any]:
        """The layers that hold weights, in the order in which they work."""
        return [self.attention_norm, self.query_key_value, self.attention_output,
                self.feed_forward_norm, self.feed_forward_in, self.feed_forward_out]  # fmt: skip

    def call(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """``x`` one block further, and the keys and values that later tokens need.  # [B, T, D]"""
        attended, present = self._attend(self.attention_norm(x), past)
        x = x + self.attention_output(attended)
        inner = ops.gelu(self.feed_forward_in(self.feed_forward_norm(x)), approximate=False)  # [B, T, F]
        return x + self.feed_forward_out(inner), present  # [B, T, D]

    def _attend(self, x: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        num_sequences, num_tokens, width = x.shape
        joined = self.query_key_value(x)  # [B, T, 3D]
        heads = ops.reshape(joined, (num_sequences, num_tokens, 3, self.num_heads, width // self.num_heads))
        query, key, value = ops.unstack(ops.transpose(heads, (2, 0, 3, 1, 4)), 3)  # [B, H, T, K] each
        if past is not None:
            key = ops.concatenate([past[0], key], axis=2)  # [B, H, S, K]
            value = ops.concatenate([past[1], value], axis=2)  # [B, H, S, K]
        mixed = ops.transpose(causal_attention(query, key, value), (0, 2, 1, 3))  # [B, T, H, K]
        return ops.reshape(mixed, x.shape), (key, value)  # [B, T, D]


class Transformer(keras.Model):  # type: ignore[misc]  # Keras has no types
    """The model. ``model(tokens)`` gives logits; ``hidden`` and ``extend`` give what training and sampling need.

    Attributes:
        config: its sizes.
        compute_type: the type of the matrix products; weights are float32 either way.
        token_embedding: row v stands for token v, at the input and at the output.  # [V, D]
        position_embedding: row t is added to the t-th token.                       # [T, D]
    """

    def __init__(self, config: ModelConfig, *, seed: int, compute_type: ComputeType = "float32") -> None:
        super().__init__(name="transformer", dtype="float32")
        self.config, self.compute_type = config, compute_type
        self.token_embedding = self.add_weight(
            shape=(config.vocabulary_size, config.width), initializer="zeros", name="token_embedding"
        )
        self.position_embedding = self.add_weight(
            shape=(config.context_tokens, config.width), initializer="zeros", name="position_embedding"
        )
        self.blocks = [Block(config, compute_type, f"block_{i}") for i in range(config.num_layers)]
        self.final_norm = _norm("final_norm")
        self(np.zeros((1, 1), "int32"))  # builds the layers
        _initialise(self, seed)

    @property
    def named_weights(self) -> dict[str, Any]:
        """Every weight by the name that it has in a file, such as ``block_0.query_key_value.kernel``."""
        names = {"token_embedding": self.token_embedding, "position_embedding": self.position_embedding}
        for block in self.blocks:
            names |= {f"{block.name}.{part.name}.{w.name}": w for part in block.parts for w in part.weights}
        return names | {f"final_norm.{weight.name}": weight for weight in self.final_norm.weights}

    def call(self, tokens: Tensor) -> Tensor:
        """Logits of the token after each of ``tokens`` [B, T], float32.  # [B, T, V]"""
        return self.logits(self.hidden(tokens))

    def hidden(self, tokens: Tensor) -> Tensor:
        """The normalised last states, in the compute type; T is at most the context.  # [B, T, D]"""
        return self.extend(tokens, None)[0]

    def extend(self, tokens: Tensor, cache: Sequence[Past] | None) -> tuple[Tensor, list[Past]]:
        """The last states of ``tokens`` [B, T] that follow the tokens of ``cache``, and the longer cache."""
        start = 0 if cache is None else cache[0][0].shape[2]
        positions = self.position_embedding[start : start + tokens.shape[1]]  # [T, D]
        x = ops.take(self.token_embedding, tokens, axis=0) + positions  # [B, T, D]
        longer = []
        for i, block in enumerate(self.blocks):
            x, present = block(x, None if cache is None else cache[i])
            longer.append(present)
        return ops.cast(self.final_norm(x), self.compute_type), longer  # [B, T, D]

    def logits(self, hidden: Tensor) -> Tensor:
        """``hidden`` · embeddingᵀ, float32.  # [..., V]"""
        weights = ops.cast(self.token_embedding, self.compute_type)
        return ops.cast(ops.matmul(hidden, ops.transpose(weights)), "float32")


def _norm(name: str) -> Any:
    return keras.layers.LayerNormalization(epsilon=_NORM_EPSILON, dtype="float32", name=name)


def _dense(width: int, policy: str, name: str, *, use_bias: bool = True) -> Any:
    return keras.layers.Dense(width, use_bias=use_bias, kernel_initializer="zeros", dtype=policy, name=name)


def _initialise(model: Transformer, seed: int) -> None:
    """Matrices from a normal distribution, as in GPT-2: those that end a residual branch narrower by √(2 layers).

    The numbers come from NumPy, in the order of the names, and so are the same on every backend.
    """
    random = np.random.default_rng(seed)
    for name, weight in model.named_weights.items():
        if len(weight.shape) == 2:
            is_last_of_branch = name.endswith(("attention_output.kernel", "feed_forward_out.kernel"))
            narrower = (2 * model.config.num_layers) ** -0.5 if is_last_of_branch else 1.0
            weight.assign(_normal(random, weight.shape, _INITIAL_DEVIATION * narrower))


def _normal(random: np.random.Generator, shape: tuple[int, ...], deviation: float) -> npt.NDArray[np.float32]:
    return (random.standard_normal(shape) * deviation).astype(np.float32)
