"""A decoder-only Transformer: token numbers in, logits of each next token out.

Learned positions, pre-norm, causal multi-head attention, exact GELU, output tied to the embedding, as in GPT-2
(Radford et al. 2019, section 2.3). The residual stream is float32; the matrix products may run in bfloat16.
What is true in between: a later token never changes an earlier logit, and a cache changes no logit.

Shape letters:
    B sequences   T tokens of a sequence   C context, the most tokens   V vocabulary
    D width       H heads                  K = D / H width of a head    F feed-forward width
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from components.model.backends.tensorflow import compiled
from components.model.config import ModelConfig
from components.model.kernels import cached_attention, causal_attention, layer_norm

Tensor = Any
Memory = tuple[Tensor, Tensor]  # keys and values of one block, with room for the whole context: [B, H, C, K] each
ComputeType = Literal["float32", "bfloat16"]

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_INITIAL_DEVIATION = 0.02


class LayerNorm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """``kernels.layer_norm`` with its weights, in float32."""

    def __init__(self, width: int, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self.gamma = self.add_weight(shape=(width,), initializer="ones", name="gamma")  # [D]
        self.beta = self.add_weight(shape=(width,), initializer="zeros", name="beta")  # [D]

    def call(self, x: Tensor) -> Tensor:
        """``x`` with mean 0 and variance 1, scaled and moved.  # [..., D]"""
        return layer_norm(x, self.gamma, self.beta)


class Block(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: ModelConfig, compute_type: ComputeType, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        policy = _POLICIES[compute_type]
        self.num_heads = config.num_heads
        self.attention_norm = LayerNorm(config.width, "attention_norm")
        self.query_key_value = _dense(3 * config.width, policy, "query_key_value", use_bias=False)
        self.attention_output = _dense(config.width, policy, "attention_output", use_bias=False)
        self.feed_forward_norm = LayerNorm(config.width, "feed_forward_norm")
        self.feed_forward_in = _dense(config.feed_forward_width, policy, "feed_forward_in")
        self.feed_forward_out = _dense(config.width, policy, "feed_forward_out")

    @property
    def parts(self) -> list[Any]:
        """The layers that hold weights, in the order in which they work."""
        return [self.attention_norm, self.query_key_value, self.attention_output,
                self.feed_forward_norm, self.feed_forward_in, self.feed_forward_out]  # fmt: skip

    def call(self, x: Tensor) -> Tensor:
        """``x`` [B, T, D] one block further.  # [B, T, D]"""
        query, key, value = self._project(x)
        return self._finish(x, causal_attention(query, key, value))

    def extend(self, x: Tensor, memory: Memory, start: Tensor) -> tuple[Tensor, Memory]:
        """As ``call`` for tokens from position ``start`` on, whose keys and values join the memory."""
        query, key, value = self._project(x)
        memory = _store(memory[0], key, start), _store(memory[1], value, start)
        return self._finish(x, cached_attention(query, *memory, start)), memory

    def _project(self, x: Tensor) -> list[Tensor]:
        num_sequences, num_tokens, width = x.shape
        joined = self.query_key_value(self.attention_norm(x))  # [B, T, 3D]
        heads = ops.reshape(joined, (num_sequences, num_tokens, 3, self.num_heads, width // self.num_heads))
        return list(ops.unstack(ops.transpose(heads, (2, 0, 3, 1, 4)), 3))  # [B, H, T, K] each

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        mixed = ops.reshape(ops.transpose(attended, (0, 2, 1, 3)), x.shape)  # [B, T, D]
        x = x + ops.cast(self.attention_output(mixed), "float32")
        inner = ops.gelu(self.feed_forward_in(self.feed_forward_norm(x)), approximate=False)  # [B, T, F]
        return x + ops.cast(self.feed_forward_out(inner), "float32")  # [B, T, D]


class Transformer(keras.Model):  # type: ignore[misc]  # Keras has no types
    """The model. ``model(tokens)`` gives logits; ``hidden`` and ``extend`` give what training and sampling need.

    Attributes:
        config: its sizes.
        compute_type: the type of the matrix products; weights are float32 either way.
        token_embedding: row v stands for token v, at the input and at the output.  # [V, D]
        position_embedding: row t is added to the t-th token.                       # [C, D]
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
        self.final_norm = LayerNorm(config.width, "final_norm")
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
        x = self._embed(tokens, 0)
        for block in self.blocks:
            x = block(x)
        return ops.cast(self.final_norm(x), self.compute_type)  # [B, T, D]

    def extend(self, tokens: Tensor, memories: list[Memory], start: Tensor) -> tuple[Tensor, list[Memory]]:
        """``hidden`` for ``tokens`` [B, T] at positions from ``start`` on, given what came before in ``memories``.

        What a memory holds at ``start`` and later counts for nothing and is overwritten.
        """
        x, longer = self._embed(tokens, start), []
        for block, memory in zip(self.blocks, memories, strict=True):
            x, memory = block.extend(x, memory, start)
            longer.append(memory)
        return ops.cast(self.final_norm(x), self.compute_type), longer

    def empty_memories(self, num_sequences: int) -> list[Memory]:
        """Memories before the first token: one for each block."""
        sizes = self.config
        shape = (num_sequences, sizes.num_heads, sizes.context_tokens, sizes.head_width)
        return [(ops.zeros(shape, self.compute_type), ops.zeros(shape, self.compute_type)) for _ in self.blocks]

    def logits(self, hidden: Tensor) -> Tensor:
        """``hidden`` · embeddingᵀ, float32.  # [..., V]"""
        weights = ops.cast(self.token_embedding, self.compute_type)
        return ops.cast(ops.matmul(hidden, ops.transpose(weights)), "float32")

    def losses(self, windows: Tensor) -> Tensor:
        """−log p of each token of ``windows`` [B, T + 1] after the first, float32.  # [B, T] nats"""
        logits = self(windows[:, :-1])  # [B, T, V]
        chosen = ops.take_along_axis(logits, ops.expand_dims(windows[:, 1:], -1), axis=-1)  # [B, T, 1]
        return ops.logsumexp(logits, axis=-1) - ops.squeeze(chosen, -1)

    def judgements(self, windows: Tensor) -> Tensor:
        """Of each token after the first of ``windows`` [B, T + 1]: −log p in nats; the probability of the likeliest
        token in its place; whether that one is it (1 or 0).  # [B, T, 3], float32
        """
        logits = self(windows[:, :-1])  # [B, T, V]
        chosen = ops.take_along_axis(logits, ops.expand_dims(windows[:, 1:], -1), axis=-1)  # [B, T, 1]
        total, best = ops.logsumexp(logits, axis=-1), ops.argmax(logits, axis=-1)  # [B, T]
        is_best = ops.cast(ops.equal(ops.cast(best, "int32"), ops.cast(windows[:, 1:], "int32")), "float32")
        return ops.stack([total - ops.squeeze(chosen, -1), ops.exp(ops.max(logits, axis=-1) - total), is_best], axis=-1)

    def next_logits(
        self, tokens: Tensor, memories: list[Memory], start: Tensor, last: Tensor
    ) -> tuple[Tensor, list[Memory]]:
        """``extend`` by one sequence [1, T], and the logits after its token number ``last``.  # [V]"""
        hidden, longer = self.extend(tokens, memories, start)
        return self.logits(ops.slice(hidden, (0, last, 0), (1, 1, self.config.width)))[0, 0], longer

    @cached_property
    def compiled_losses(self) -> Callable[..., Any]:
        """``losses`` as a graph per shape."""
        return compiled(self.losses)

    @cached_property
    def compiled_judgements(self) -> Callable[..., Any]:
        """``judgements`` as a graph per shape."""
        return compiled(self.judgements)

    @cached_property
    def compiled_next_logits(self) -> Callable[..., Any]:
        """``next_logits`` as a graph per shape."""
        return compiled(self.next_logits)

    def _embed(self, tokens: Tensor, start: Tensor) -> Tensor:
        positions = ops.slice(self.position_embedding, (start, 0), (tokens.shape[1], self.config.width))  # [T, D]
        return ops.take(self.token_embedding, tokens, axis=0) + positions  # [B, T, D]


def _store(kept: Tensor, new: Tensor, start: Tensor) -> Tensor:
    return ops.slice_update(kept, (0, 0, start, 0), new)  # [B, H, C, K]


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
