"""Writing with a model, many texts at once, on a processor: what serving needs, without Keras.

In: a model's weights, and rows of (token, slot, position). Out: the next tokens. In between: a slot is one text with
its memory of keys and values; rows of any slots go through the model together. What a slot writes depends on its
own tokens, choice and random numbers alone, bit for bit on one kind of processor, in float32: not on its
neighbours, not on which slot it is, not on how its prompt was cut into pieces.

``components.model.transformer`` is the statement of what is computed; the tests hold this against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.core.errors import InputError
from components.model.config import ModelConfig
from components.model.decoding_kernels import (
    MOST_TOP,
    PANEL,
    STRIDE,
    Choices,
    Floats,
    Memories,
    Scratch,
    Weights,
    Written,
    advance,
)
from components.model.weights import CONFIG, read_config, read_weights, weight_shapes


@dataclass(frozen=True)
class Choice:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest.
        top_k: choose among so many of the likeliest; 0 is all.
        top_p: of these, among the fewest whose probability reaches this.
        repetition_penalty: logits of tokens that were read or written are divided by it (times it below 0).
        num_top: so many likeliest tokens are told beside the chosen one.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    num_top: int = 0


class Decoder:
    """Slots of one model that advance together; one thread at a time may use it, and leaves Python meanwhile.

    Attributes:
        num_slots: texts that can be written at once.
        most_rows: rows of one call.
    """

    def __init__(self, config: ModelConfig, weights: Weights, *, num_slots: int, most_rows: int = 64) -> None:
        self.config, self.num_slots, self.most_rows = config, num_slots, max(most_rows, num_slots)
        self._weights = weights
        self._memories = _empty_memories(config, num_slots)
        self._choices = _no_choices(num_slots)
        self._scratch = _room(config, self.most_rows)

    def open(self, slot: int, choice: Choice) -> None:
        """Begin another text in ``slot``; what it held is forgotten."""
        self._memories.seen[slot] = False
        for name, values in self._choices._asdict().items():
            values[slot] = getattr(choice, name)

    def read(
        self, tokens: Sequence[int], slots: Sequence[int], positions: Sequence[int], ends: Sequence[bool],
        uniforms: Sequence[float],
    ) -> Written:  # fmt: skip
        """Read one token per row; rows that are ``ends`` choose the next token.  # written [1, R]"""
        return self._advance(tokens, slots, positions, ends, np.array([uniforms], np.float64))

    def write(
        self, tokens: Sequence[int], slots: Sequence[int], positions: Sequence[int], uniforms: npt.NDArray[np.float64]
    ) -> Written:
        """Go on with one row per slot for as many steps as there are rows of ``uniforms``.  # written [steps, R]

        The last position plus the steps must stay within the context.
        """
        return self._advance(tokens, slots, positions, [True] * len(tokens), uniforms)

    def _advance(
        self, tokens: Sequence[int], slots: Sequence[int], positions: Sequence[int], ends: Sequence[bool],
        uniforms: npt.NDArray[np.float64],
    ) -> Written:  # fmt: skip
        written = _empty_page(*uniforms.shape)
        rows = (np.array(numbers, np.int32) for numbers in (tokens, slots, positions))
        advance(self._weights, self._memories, self._scratch, self._choices, *rows, np.array(ends, np.bool_),
                uniforms, written)  # fmt: skip
        return written


def load_weights(folder: Path) -> tuple[ModelConfig, Weights]:
    """The sizes and the weights of a model that ``save_model`` wrote. Raises InputError as ``load_model`` does."""
    config = read_config(folder)
    if not config.is_gpt_2:
        raise InputError(
            str(folder / CONFIG),
            found=f"{config.norm}, {config.activation}, {config.positions} positions, {config.output} output, "
            f"{config.key_value_heads} heads of keys for {config.num_heads} of queries",
            expected="the choices of GPT-2, the only ones that this decoder knows",
            fix="write with `components.model.sampling`, or train a model of those choices",
        )
    return config, prepare(config, read_weights(folder, weight_shapes(config)))


def prepare(config: ModelConfig, arrays: Mapping[str, Floats]) -> Weights:
    """The weights of a file, by their names there, as the kernels want them."""

    def layers(name: str) -> list[Floats]:
        return [arrays[f"block_{i}.{name}"] for i in range(config.num_layers)]

    def matrices(name: str) -> Floats:
        return np.stack([_in_panels(kernel) for kernel in layers(f"{name}.kernel")])

    def biases(name: str) -> Floats:
        return np.stack([_widened(bias, PANEL) for bias in layers(f"{name}.bias")])

    return Weights(
        arrays["token_embedding"], arrays["position_embedding"],
        np.stack(layers("attention_norm.gamma")), np.stack(layers("attention_norm.beta")),
        matrices("query_key_value"), matrices("attention_output"),
        np.stack(layers("feed_forward_norm.gamma")), np.stack(layers("feed_forward_norm.beta")),
        matrices("feed_forward_in"), biases("feed_forward_in"),
        matrices("feed_forward_out"), biases("feed_forward_out"),
        arrays["final_norm.gamma"], arrays["final_norm.beta"], _in_panels(arrays["token_embedding"].T),
    )  # fmt: skip


def _in_panels(matrix: Floats) -> Floats:
    """[N, M] as [P, N, 64], padded with zeros to whole strides and panels."""
    padded = _widened(np.pad(matrix, [(0, -len(matrix) % STRIDE), (0, 0)]), PANEL)
    return np.ascontiguousarray(padded.reshape(len(padded), -1, PANEL).transpose(1, 0, 2))


def _widened(array: Floats, multiple: int) -> Floats:
    """Zeros behind the last axis, up to a multiple."""
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % multiple)])


def _empty_memories(config: ModelConfig, num_slots: int) -> Memories:
    num_blocks = -(-config.context_tokens // PANEL)
    shape = (num_slots, config.num_layers, config.num_heads, num_blocks, config.head_width, PANEL)
    seen = np.zeros((num_slots, config.vocabulary_size), np.bool_)
    return Memories(np.zeros(shape, np.float32), np.zeros(shape, np.float32), seen)


def _no_choices(num_slots: int) -> Choices:
    def floats() -> Floats:
        return np.ones(num_slots, np.float32)

    return Choices(floats(), np.zeros(num_slots, np.int32), floats(), floats(), np.zeros(num_slots, np.int32))


def _room(config: ModelConfig, num_rows: int) -> Scratch:
    def rows(width: int) -> Floats:
        return np.zeros((num_rows, -(-width // PANEL) * PANEL), np.float32)

    width, vocabulary = config.width, config.vocabulary_size
    return Scratch(
        rows(width), rows(width), rows(3 * width), rows(width), rows(config.feed_forward_width), rows(width),
        np.zeros(-(-config.context_tokens // PANEL) * PANEL, np.float32), rows(vocabulary),
        np.zeros(vocabulary, np.float32),
    )  # fmt: skip


def _empty_page(num_steps: int, num_rows: int) -> Written:
    shape = (num_steps, num_rows)
    top = (*shape, MOST_TOP)
    return Written(np.zeros(shape, np.int32), np.zeros(shape, np.float32),
                   np.zeros(top, np.int32), np.zeros(top, np.float32))  # fmt: skip
