"""A decoder-only Transformer: token numbers in, logits of each next token out.

Pre-norm and causal, as GPT-2 (Radford et al. 2019, section 2.3); ``ModelConfig`` chooses norm, activation, positions,
output and how many heads of keys and values there are. The residual stream is float32; the matrix products may run in
bfloat16. What is true in between: a later token never changes an earlier logit. ``decoding`` writes with its weights.

Shape letters:
    B sequences   T tokens of a sequence   C context, the most tokens   V vocabulary
    D width       H heads                  K = D / H width of a head    F feed-forward width
    G heads of keys and values             (H + 2G) K queries, keys and values side by side
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal, Protocol

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from components.model import formulas
from components.model.backends import backend
from components.model.config import ModelConfig

Tensor = Any
ComputeType = Literal["float32", "bfloat16"]
Drop = Callable[[Tensor], Tensor]
Answers = tuple[()] | tuple[Tensor, Tensor]

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_INITIAL_DEVIATION = 0.02


class Formulas(Protocol):
    """Who computes the pieces between the matrix products: the plain ``formulas``, or a backend's kernels."""

    def layer_norm(self, x: Tensor, gamma: Tensor, beta: Tensor, out_type: str) -> Tensor: ...
    def rms_norm(self, x: Tensor, gamma: Tensor, out_type: str) -> Tensor: ...
    def add(self, x: Tensor, branch: Tensor, bias: Tensor | None) -> Tensor: ...
    def gelu(self, x: Tensor, bias: Tensor) -> Tensor: ...
    def swiglu(self, x: Tensor) -> Tensor: ...
    def attend(self, joined: Tensor, config: ModelConfig) -> Tensor: ...
    def next_token_loss(
        self,
        hidden: Tensor,
        output: Tensor,
        targets: Tensor,
        z_weight: float = 0.0,
        token_weights: Tensor | None = None,
    ) -> Tensor: ...


class Norm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """The norm that the config chooses, with its weights; float32 in, the compute type out."""

    def __init__(self, config: ModelConfig, compute_type: ComputeType, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self.out_type = compute_type
        self.gamma = self.add_weight(shape=(config.width,), initializer="ones", name="gamma")  # [D]
        has_beta = config.norm == "layer_norm"
        self.beta = self.add_weight(shape=(config.width,), initializer="zeros", name="beta") if has_beta else None

    def call(self, x: Tensor, by: Formulas = formulas) -> Tensor:
        """``x`` normalised.  # [..., D]"""
        if self.beta is None:
            return by.rms_norm(x, self.gamma, self.out_type)
        return by.layer_norm(x, self.gamma, self.beta, self.out_type)


class Projection(keras.layers.Dense):  # type: ignore[misc]  # Keras has no types
    """x · kernel, all tokens in one matrix product; once adapted, + scale · x · A · B (``components.model.lora``)."""

    def __init__(self, in_width: int, out_width: int, compute_type: ComputeType, name: str) -> None:
        super().__init__(
            out_width, use_bias=False, kernel_initializer="zeros", dtype=_POLICIES[compute_type], name=name
        )
        self.build((None, in_width))
        self.lora_a: Any = None
        self.lora_b: Any = None
        self.lora_scale = 0.0

    def adapt(self, rank: int, scale: float) -> None:
        """Make room for A and B, both 0.  # [in, rank], [rank, out]"""
        self._tracker.unlock()  # Keras lets a layer that is built have no more weights
        self.lora_a = self.add_weight(shape=(self.kernel.shape[0], rank), initializer="zeros", name="lora_a")
        self.lora_b = self.add_weight(shape=(rank, self.units), initializer="zeros", name="lora_b")
        self._tracker.lock()
        self.lora_scale = scale

    def call(self, inputs: Tensor) -> Tensor:
        """[..., in] → [..., out]"""
        flat = ops.reshape(inputs, (-1, inputs.shape[-1]))
        outputs = super().call(flat)
        if self.lora_a is not None:
            outputs += ops.matmul(self.lora_scale * ops.matmul(flat, self.lora_a), self.lora_b)
        return ops.reshape(outputs, (*inputs.shape[:-1], self.units))


class Block(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: ModelConfig, compute_type: ComputeType, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self.config = config
        width, inner, joined = config.width, config.feed_forward_width, 2 * config.key_value_heads + config.num_heads
        is_gated = config.activation == "swiglu"

        def projection(in_width: int, out_width: int, name: str) -> Projection:
            return Projection(in_width, out_width, compute_type, name)

        self.attention_norm = Norm(config, compute_type, "attention_norm")
        self.query_key_value = projection(width, joined * config.head_width, "query_key_value")
        self.attention_output = projection(width, width, "attention_output")
        self.feed_forward_norm = Norm(config, compute_type, "feed_forward_norm")
        self.feed_forward_in = projection(width, 2 * inner if is_gated else inner, "feed_forward_in")
        self.feed_forward_out = projection(inner, width, "feed_forward_out")
        self.in_bias = None if is_gated else self._bias("feed_forward_in_bias", inner)  # [F]
        self.out_bias = None if is_gated else self._bias("feed_forward_out_bias", width)  # [D]

    def _bias(self, name: str, width: int) -> Any:
        return self.add_weight(shape=(width,), initializer="zeros", name=name)

    @property
    def projections(self) -> list[Projection]:
        """The layers with a matrix, in the order in which they work."""
        return [self.query_key_value, self.attention_output, self.feed_forward_in, self.feed_forward_out]

    @property
    def named_weights(self) -> Iterator[tuple[str, Any]]:
        """Every weight by its name within the block, in the order in which they work."""
        biases = {"feed_forward_in": self.in_bias, "feed_forward_out": self.out_bias}
        parts: list[Any] = [self.attention_norm, *self.projections[:2], self.feed_forward_norm, *self.projections[2:]]
        for part in parts:
            yield from ((f"{part.name}.{_plain_name(weight)}", weight) for weight in part.weights)
            if biases.get(part.name) is not None:
                yield f"{part.name}.bias", biases[part.name]

    def call(self, x: Tensor, by: Formulas = formulas, drop: Drop | None = None) -> Tensor:
        """``x`` [B, T, D] one block further.  # [B, T, D]"""
        joined = self.query_key_value(self.attention_norm(x, by=by))  # [B, T, (H + 2G) K]
        return self._finish(x, by.attend(joined, self.config), by, drop or _keep_all)

    def _finish(self, x: Tensor, attended: Tensor, by: Formulas, drop: Drop) -> Tensor:
        x = by.add(x, drop(self.attention_output(attended)), None)
        inner = self.feed_forward_in(self.feed_forward_norm(x, by=by))  # [B, T, F], gated [B, T, 2F]
        inner = by.swiglu(inner) if self.in_bias is None else by.gelu(inner, self.in_bias)  # [B, T, F]
        outer = self.feed_forward_out(inner)  # [B, T, D]
        return by.add(x, drop(outer), self.out_bias)


class Transformer(keras.Model):  # type: ignore[misc]  # Keras has no types
    """The model. ``model(tokens)`` gives logits; ``hidden`` gives what training needs.

    Attributes:
        config: its sizes.
        compute_type: the type of the matrix products; weights are float32 either way.
        token_embedding: row v stands for token v at the input, and where tied at the output.  # [V, D]
        position_embedding: row t is added to the t-th token; None where positions are rotary.  # [C, D]
        output_embedding: row v stands for token v at the output.                              # [V, D]
    """

    def __init__(self, config: ModelConfig, *, seed: int, compute_type: ComputeType = "float32") -> None:
        super().__init__(name="transformer", dtype="float32")
        self.config, self.compute_type = config, compute_type
        self.token_embedding = self._table("token_embedding", config.vocabulary_size)
        is_learned, is_free = config.positions == "learned", config.output == "free"
        self.position_embedding = self._table("position_embedding", config.context_tokens) if is_learned else None
        self._output = self._table("output_embedding", config.vocabulary_size) if is_free else None
        self.blocks = [Block(config, compute_type, f"block_{i}") for i in range(config.num_layers)]
        self.final_norm = Norm(config, compute_type, "final_norm")
        self(np.zeros((1, 1), "int32"))  # builds the layers
        _initialise(self, seed)

    def _table(self, name: str, num_rows: int) -> Any:
        return self.add_weight(shape=(num_rows, self.config.width), initializer="zeros", name=name)

    @property
    def output_embedding(self) -> Any:
        """A row for each token, whose product with a state is the token's logit.  # [V, D]"""
        return self.token_embedding if self._output is None else self._output

    @property
    def named_weights(self) -> dict[str, Any]:
        """Every weight by the name that it has in a file, such as ``block_0.query_key_value.kernel``."""
        tables = {"token_embedding": self.token_embedding, "position_embedding": self.position_embedding}
        names = {name: table for name, table in tables.items() if table is not None}
        for block in self.blocks:
            names |= {f"{block.name}.{name}": weight for name, weight in block.named_weights}
        names |= {f"final_norm.{weight.name}": weight for weight in self.final_norm.weights}
        return names if self._output is None else {**names, "output_embedding": self._output}

    @property
    def trained_weights(self) -> dict[str, Any]:
        """Those of ``named_weights`` that training changes: all, or those of LoRA."""
        return {name: weight for name, weight in self.named_weights.items() if weight.trainable}

    def call(self, tokens: Tensor) -> Tensor:
        """Logits of the token after each of ``tokens`` [B, T], float32.  # [B, T, V]"""
        return self.logits(self.hidden(tokens))

    def hidden(self, tokens: Tensor, by: Formulas = formulas, drop: Drop | None = None) -> Tensor:
        """The normalised last states, in the compute type; T is at most the context.  # [B, T, D]"""
        x = (drop or _keep_all)(self._embed(tokens))
        for block in self.blocks:
            x = block(x, by=by, drop=drop)
        return self.final_norm(x, by=by)  # [B, T, D]

    def training_loss(
        self, windows: Tensor, by: Formulas, drop: Drop | None = None, z_weight: float = 0.0, answers: Answers = ()
    ) -> Tensor:
        """Mean nats of each token of ``windows`` [B, T + 1] after the first, as training minimises it.

        ``answers``, where given, are the places among those tokens that count, from 0 on, and their weights
        [B, A] each: of the others, no logit is worked out.
        """
        hidden, targets = self.hidden(windows[:, :-1], by=by, drop=drop), windows[:, 1:]
        if not answers:
            return by.next_token_loss(hidden, self.output_embedding, targets, z_weight)
        places, weights = answers
        hidden, targets = _pick(hidden, places), _pick(targets, places)  # [B, A, D], [B, A]
        return by.next_token_loss(hidden, self.output_embedding, targets, z_weight, weights)

    def logits(self, hidden: Tensor) -> Tensor:
        """``hidden`` · outputᵀ, float32.  # [..., V]"""
        weights = ops.cast(self.output_embedding, self.compute_type)
        return ops.cast(ops.matmul(hidden, ops.transpose(weights)), "float32")

    def losses(self, windows: Tensor) -> Tensor:
        """−log p of each token of ``windows`` [B, T + 1] after the first, float32.  # [B, T] nats"""
        return _losses(self(windows[:, :-1]), windows[:, 1:])

    def answer_losses(self, windows: Tensor, places: Tensor) -> Tensor:
        """``losses`` at the places [B, A] of each window alone.  # [B, A] nats"""
        return _losses(self.logits(_pick(self.hidden(windows[:, :-1]), places)), _pick(windows[:, 1:], places))

    def judgements(self, windows: Tensor) -> Tensor:
        """Of each token after the first of ``windows`` [B, T + 1]: −log p in nats; the probability of the likeliest
        token in its place; whether that one is it (1 or 0).  # [B, T, 3], float32
        """
        logits = self(windows[:, :-1])  # [B, T, V]
        chosen = ops.take_along_axis(logits, ops.expand_dims(windows[:, 1:], -1), axis=-1)  # [B, T, 1]
        total, best = ops.logsumexp(logits, axis=-1), ops.argmax(logits, axis=-1)  # [B, T]
        is_best = ops.cast(ops.equal(ops.cast(best, "int32"), ops.cast(windows[:, 1:], "int32")), "float32")
        return ops.stack([total - ops.squeeze(chosen, -1), ops.exp(ops.max(logits, axis=-1) - total), is_best], axis=-1)

    @cached_property
    def compiled_losses(self) -> Callable[..., Any]:
        """``losses`` as a graph per shape."""
        return backend().compiled(self.losses, self)

    @cached_property
    def compiled_answer_losses(self) -> Callable[..., Any]:
        """``answer_losses`` as a graph per shape."""
        return backend().compiled(self.answer_losses, self)

    @cached_property
    def compiled_judgements(self) -> Callable[..., Any]:
        """``judgements`` as a graph per shape."""
        return backend().compiled(self.judgements, self)

    def _embed(self, tokens: Tensor) -> Tensor:
        embedded = ops.take(self.token_embedding, tokens, axis=0)  # [B, T, D]
        if self.position_embedding is None:
            return embedded
        table = ops.convert_to_tensor(self.position_embedding)  # [C, D]
        return embedded + ops.slice(table, (0, 0), (tokens.shape[1], self.config.width))  # [B, T, D]


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """−log softmax(logits)[target].  # [B, T, V], [B, T] → [B, T]"""
    chosen = ops.take_along_axis(logits, ops.expand_dims(targets, -1), axis=-1)  # [B, T, 1]
    return ops.logsumexp(logits, axis=-1) - ops.squeeze(chosen, -1)


def _pick(rows: Tensor, places: Tensor) -> Tensor:
    """The entries of each sequence at its own places.  # [B, T, …], [B, A] → [B, A, …]"""
    num_sequences, num_tokens, *rest = rows.shape
    flat = ops.reshape(rows, (num_sequences * num_tokens, *rest))
    return ops.take(flat, places + num_tokens * ops.expand_dims(ops.arange(num_sequences), 1), axis=0)


def _keep_all(x: Tensor) -> Tensor:
    return x


def _plain_name(weight: Any) -> str:
    return str(weight.name).removeprefix("_")


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
