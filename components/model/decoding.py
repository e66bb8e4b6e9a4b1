"""Writing with a model, many texts at once, on a processor: what serving needs, without Keras.

In: a model's weights, and rows of (token, slot, position). Out: the next tokens. In between: a slot is one text with
its memory of keys and values; rows of any slots go through the model together. What a slot writes depends on its
own tokens, choice and random numbers alone, bit for bit on one kind of processor, in float32: not on its
neighbours, not on which slot it is, not on how its prompt was cut into pieces.

``components.model.transformer`` is the statement of what is computed; the tests hold this against it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from numba import typeof
from numba.core.compiler_lock import global_compiler_lock

from components.core import compiling
from components.model.config import ModelConfig
from components.model.decoding_kernels import (
    LANES,
    MOST_TOP,
    PANEL,
    Choices,
    Floats,
    Matrix,
    Memories,
    Rows,
    Scratch,
    Weights,
    Written,
    advance,
)
from components.model.int8 import Quantised, quantise
from components.model.weights import read_config, read_weights, weight_shapes

_LINE_BYTES = 64  # of the processor's cache
Number = TypeVar("Number", bound=np.generic)


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
        _compile_apart(self._arguments(_rows_of([[]] * 3, [], []), np.zeros((0, 0)), _empty_page(0, 0)))

    def open(self, slot: int, choice: Choice) -> None:
        """Begin another text in ``slot``; what it held is forgotten."""
        self._memories.seen[slot] = False
        for name, values in self._choices._asdict().items():
            values[slot] = getattr(choice, name)

    def read(
        self, tokens: Sequence[int], slots: Sequence[int], positions: Sequence[int], ends: Sequence[bool],
        uniforms: Sequence[float], given: Sequence[int] | None = None,
    ) -> Written:  # fmt: skip
        """Read one token per row; rows that are ``ends`` choose the next token, or tell of the one that is ``given``
        (−1 where none is).  # written [1, R]"""
        given = [-1] * len(tokens) if given is None else given
        return self._advance((tokens, slots, positions), ends, given, np.array([uniforms], np.float64))

    def write(
        self, tokens: Sequence[int], slots: Sequence[int], positions: Sequence[int], uniforms: npt.NDArray[np.float64]
    ) -> Written:
        """Go on with one row per slot for as many steps as there are rows of ``uniforms``.  # written [steps, R]

        The last position plus the steps must stay within the context.
        """
        num_rows = len(tokens)
        return self._advance((tokens, slots, positions), [True] * num_rows, [-1] * num_rows, uniforms)

    def logits(self, num_ends: int) -> Floats:
        """The logits after those rows of the last call that were ends, in their order.  # [num_ends, V]"""
        return self._scratch.logits[:num_ends, : self.config.vocabulary_size]

    def copy(self, slot: int, others: Sequence[int], num_tokens: int) -> None:
        """Let other slots remember the first ``num_tokens`` tokens that ``slot`` has read."""
        blocks = slice(0, -(-num_tokens // PANEL))
        for memory in (self._memories.keys, self._memories.values):
            memory[others, :, :, blocks] = memory[slot, :, :, blocks]

    def _advance(
        self, numbers: Sequence[Sequence[int]], ends: Sequence[bool], given: Sequence[int],
        uniforms: npt.NDArray[np.float64],
    ) -> Written:  # fmt: skip
        written = _empty_page(*uniforms.shape)
        advance(*self._arguments(_rows_of(numbers, ends, given), uniforms, written))
        return written

    def _arguments(self, rows: Rows, uniforms: npt.NDArray[np.float64], written: Written) -> tuple[object, ...]:
        return self._weights, self._memories, self._scratch, self._choices, rows, uniforms, written


def _compile_apart(arguments: Sequence[object]) -> None:
    """Have ``advance`` in the compiler's cache before this process wants it: a child compiles it where it is absent.

    The process that compiles has every function of the kernels twice, alone and inside ``advance``. They group their
    sums differently, and its linker takes one for the other, so its last digits are not those of the processes after
    it, which load ``advance`` as it was kept and have each function once.
    """
    kinds = tuple(map(typeof, arguments))
    with global_compiler_lock:  # a child of a process in which another thread compiles would wait for it forever
        if kinds in advance.signatures:
            return
        child = os.fork()
        if not child:
            try:
                with compiling.alone():
                    advance.compile(kinds)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        advance.compile(kinds)


def _rows_of(numbers: Sequence[Sequence[int]], ends: Sequence[bool], given: Sequence[int]) -> Rows:
    tokens, slots, positions = (np.array(values, np.int32) for values in numbers)
    return Rows(tokens, slots, positions, np.array(ends, np.bool_), np.array(given, np.int32))


def load_weights(folder: Path, *, one_byte: bool = False) -> tuple[ModelConfig, Weights]:
    """The sizes and the weights of a model that ``save_model`` wrote. Raises InputError as ``load_model`` does."""
    config = read_config(folder)
    arrays = read_weights(folder, weight_shapes(config))
    return config, prepare(config, quantise(arrays) if one_byte else arrays)


def prepare(config: ModelConfig, arrays: Mapping[str, Floats | Quantised]) -> Weights:
    """The weights of a file, by their names there, as the kernels want them."""

    vectors = {name: array for name, array in arrays.items() if not isinstance(array, Quantised)}

    def stacked(name: str, width: int) -> Floats:
        nothing = np.zeros(width, np.float32)
        return np.stack([vectors.get(f"block_{i}.{name}", nothing) for i in range(config.num_layers)])

    def matrices(name: str) -> Matrix:
        panels = [_in_panels(_columns(arrays[f"block_{i}.{name}.kernel"])) for i in range(config.num_layers)]
        return Matrix(*(_aligned(np.stack(parts)) for parts in zip(*panels, strict=True)))

    width, is_gated = config.width, config.activation == "swiglu"
    inner = 2 * config.feed_forward_width if is_gated else config.feed_forward_width
    embedding = _rows(arrays["token_embedding"])
    output = _rows(arrays.get("output_embedding", arrays["token_embedding"]))
    to_logits = Matrix(*map(_aligned, _in_panels(Matrix(output.numbers.T, output.scales))))
    return Weights(
        embedding, vectors.get("position_embedding", np.zeros((0, width), np.float32)), *_turns(config),
        stacked("attention_norm.gamma", width), stacked("attention_norm.beta", width),
        matrices("query_key_value"), matrices("attention_output"),
        stacked("feed_forward_norm.gamma", width), stacked("feed_forward_norm.beta", width),
        matrices("feed_forward_in"), _widened(stacked("feed_forward_in.bias", inner)),
        matrices("feed_forward_out"), _widened(stacked("feed_forward_out.bias", width)),
        vectors["final_norm.gamma"], vectors.get("final_norm.beta", np.zeros(width, np.float32)),
        to_logits, config.norm == "layer_norm", is_gated,
    )  # fmt: skip


def _rows(table: Floats | Quantised) -> Matrix:
    """[V, D] with a scale for each row."""
    if isinstance(table, Quantised):
        return Matrix(table.numbers, table.scales[:, 0])
    return Matrix(table, np.ones(len(table), np.float32))


def _columns(matrix: Floats | Quantised) -> Matrix:
    """[N, M] with a scale for each column."""
    if isinstance(matrix, Quantised):
        return Matrix(matrix.numbers, matrix.scales[0])
    return Matrix(matrix, np.ones(matrix.shape[1], np.float32))


def _turns(config: ModelConfig) -> tuple[Floats, Floats]:
    """Cosine and sine of position · 10000^(−2k/K) (Su et al. 2021, section 3.2.2); empty unless rotary."""
    if config.positions != "rotary":
        return np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
    half = config.head_width // 2
    speeds = np.float32(10_000) ** (-np.arange(half, dtype=np.float32) / half)
    angles = np.arange(config.context_tokens, dtype=np.float32)[:, None] * speeds  # [C, K / 2]
    return np.cos(angles), np.sin(angles)


def _aligned(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """The same numbers from the beginning of a cache line on, so that no vector lies in two."""
    room = np.zeros(array.nbytes + _LINE_BYTES, np.uint8)
    start = -room.ctypes.data % _LINE_BYTES
    placed: npt.NDArray[Number] = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    placed[...] = array
    return placed


def _in_panels(matrix: Matrix) -> Matrix:
    """[N, M] as [P, N, 64], both padded with zeros to whole panels."""
    numbers = _widened(matrix.numbers)
    return Matrix(numbers.reshape(len(numbers), -1, PANEL).transpose(1, 0, 2), _widened(matrix.scales))


def _widened(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Zeros behind the last axis, up to whole panels."""
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % PANEL)])


def _empty_memories(config: ModelConfig, num_slots: int) -> Memories:
    width, num_blocks = config.head_width, -(-config.context_tokens // PANEL)
    shape = (num_slots, config.num_layers, config.key_value_heads, num_blocks)
    keys = np.zeros((*shape, width, PANEL), np.float32)
    values = np.zeros((*shape, PANEL, width + -width % LANES), np.float32)
    return Memories(keys, values, np.zeros((num_slots, config.vocabulary_size), np.bool_))


def _no_choices(num_slots: int) -> Choices:
    def floats() -> Floats:
        return np.ones(num_slots, np.float32)

    return Choices(floats(), np.zeros(num_slots, np.int32), floats(), floats(), np.zeros(num_slots, np.int32))


def _room(config: ModelConfig, num_rows: int) -> Scratch:
    def rows(width: int) -> Floats:
        return _widened(np.zeros((num_rows, width), np.float32))

    width, vocabulary = config.width, config.vocabulary_size
    joined = (config.num_heads + 2 * config.key_value_heads) * config.head_width
    inner = config.feed_forward_width * (2 if config.activation == "swiglu" else 1)
    return Scratch(
        rows(width), rows(width), rows(joined), rows(width), rows(inner),
        _widened(np.zeros(config.context_tokens, np.float32)), _widened(np.zeros(config.head_width, np.float32)),
        rows(vocabulary), np.zeros(vocabulary, np.float32),
    )  # fmt: skip


def _empty_page(num_steps: int, num_rows: int) -> Written:
    shape = (num_steps, num_rows)
    top = (*shape, MOST_TOP)
    return Written(np.zeros(shape, np.int32), np.zeros(shape, np.float32),
                   np.zeros(top, np.int32), np.zeros(top, np.float32))  # fmt: skip
