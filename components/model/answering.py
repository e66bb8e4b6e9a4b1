"""How a model answers many prompts: scores answers that are given, writes its own, or ranks a catalogue.

In: prompts as tokens, each behind an end of text (``components.core.examples.begin``). Out: log-probabilities, tokens,
or ranked numbers of a catalogue. In between: a prompt is read once, whatever is asked about it. Prompts are divided
among threads, each with a decoder of its own, and what one gets depends on nothing but itself.

An answer's probability is that of its tokens and of the end of text behind them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from components.core.errors import InputError
from components.model.config import ModelConfig
from components.model.decoding import Choice, Decoder
from components.model.decoding_kernels import Weights

Tokens = Sequence[int]
Ranked = list[tuple[int, float]]
Floats = npt.NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")
_SLOTS, _ROWS, _STEPS = 16, 256, 8
_NONE = -1  # no token
_GREEDY = Choice(temperature=0.0)


class _Row(NamedTuple):
    token: int
    given: int  # the token that follows it, whose probability may be asked
    position: int
    slot: int


@dataclass
class _Node:
    """What may follow the same first tokens: further tokens, or the end of an entry."""

    children: dict[int, _Node] = field(default_factory=dict)
    entry: int = -1


class Catalogue:
    """Texts to rank, as a tree of their tokens; the end of text ends each."""

    def __init__(self, entries: Sequence[Tokens], end_of_text: int) -> None:
        self.root, self.longest = _Node(), 1 + max(map(len, entries), default=0)
        for number, tokens in enumerate(entries):
            node = self.root
            for token in (*tokens, end_of_text):
                node = node.children.setdefault(token, _Node())
            node.entry = number


class _Beam(NamedTuple):
    score: float
    path: tuple[int, ...]
    node: _Node


class Answerer:
    """A model at work on many prompts."""

    def __init__(self, config: ModelConfig, weights: Weights, end_of_text: int) -> None:
        self.config, self._weights, self._end_of_text = config, weights, end_of_text

    def score(self, prompts: Sequence[Tokens], answers: Sequence[Sequence[Tokens]]) -> list[Floats]:
        """log p of each of the answers to each prompt, ended, in nats.

        Raises InputError where a prompt and an answer do not fit the context together.
        """
        self._check_room(
            len(prompt) + max(map(len, few), default=0) for prompt, few in zip(prompts, answers, strict=True)
        )

        def work(decoder: Decoder, part: Sequence[tuple[Tokens, Sequence[Tokens]]]) -> list[Floats]:
            return _score(decoder, part, self._end_of_text)

        return self._spread(list(zip(prompts, answers, strict=True)), work, _SLOTS)

    def write(self, prompts: Sequence[Tokens], max_tokens: int) -> list[list[int]]:
        """The likeliest tokens one by one, up to the end of text, ``max_tokens`` or the end of the context."""

        def work(decoder: Decoder, part: Sequence[Tokens]) -> list[list[int]]:
            return _write(decoder, part, max_tokens, self._end_of_text)

        return self._spread(prompts, work, _SLOTS)

    def rank(
        self, prompts: Sequence[Tokens], catalogue: Catalogue, count: int, excluded: Sequence[Collection[int]]
    ) -> list[Ranked]:
        """The likeliest entries of a catalogue with their log p, found by beam search (Graves 2012, section 2.5).

        The beam is ``count`` wide, so what is found is not always all of the very likeliest. Each prompt excludes some
        entries. Raises InputError where a prompt and the longest entry do not fit the context together.
        """
        self._check_room(len(prompt) + catalogue.longest - 1 for prompt in prompts)

        def work(decoder: Decoder, part: Sequence[tuple[Tokens, Collection[int]]]) -> list[Ranked]:
            return [_rank(decoder, prompt, catalogue, count, without) for prompt, without in part]

        return self._spread(list(zip(prompts, excluded, strict=True)), work, count)

    def _check_room(self, lengths: Iterable[int]) -> None:
        """The kernels would read and write memory that is not theirs."""
        longest, context = max(lengths, default=0), self.config.context_tokens
        if longest > context:
            raise InputError("a prompt and its longest answer", found=f"{longest} tokens",
                             expected=f"at most {context}, the context of the model",
                             fix="shorten what is chosen from, or train with a longer context")  # fmt: skip

    def _spread(
        self, items: Sequence[Item], work: Callable[[Decoder, Sequence[Item]], list[Result]], num_slots: int
    ) -> list[Result]:
        """The result of each item: parts of them are worked on side by side."""
        num_threads, decoders = len(os.sched_getaffinity(0)), SimpleQueue[Decoder]()
        for _ in range(num_threads):
            decoders.put(Decoder(self.config, self._weights, num_slots=num_slots, most_rows=max(_ROWS, num_slots)))

        def run(part: Sequence[Item]) -> list[Result]:
            decoder = decoders.get()
            try:
                return work(decoder, part)
            finally:
                decoders.put(decoder)

        parts = [items[start : start + _SLOTS] for start in range(0, len(items), _SLOTS)]
        with ThreadPoolExecutor(num_threads) as pool:
            return [result for results in pool.map(run, parts) for result in results]


def _score(decoder: Decoder, part: Sequence[tuple[Tokens, Sequence[Tokens]]], end_of_text: int) -> list[Floats]:
    """The last token of a prompt is read again before each answer, whose rows take the places of the one before."""
    found = [np.zeros(len(answers)) for _, answers in part]
    _read(decoder, [_Row(*row, slot) for slot, (prompt, _) in enumerate(part) for row in _given(prompt, 0)])
    for number in range(max((len(answers) for _, answers in part), default=0)):
        rows = [
            _Row(token, given, position, slot)
            for slot, (prompt, answers) in enumerate(part) if number < len(answers)
            for token, given, position in _given([*prompt[-1:], *answers[number], end_of_text], len(prompt) - 1)
        ]  # fmt: skip
        for row, value in zip(rows, _read(decoder, rows, is_asked=True), strict=True):
            found[row.slot][number] += value
    return found


def _given(tokens: Tokens, start: int) -> Iterator[tuple[int, int, int]]:
    """Each token but the last, the one that follows it, and its position."""
    yield from ((token, tokens[i + 1], start + i) for i, token in enumerate(tokens[:-1]))


def _read(decoder: Decoder, rows: Sequence[_Row], *, is_asked: bool = False) -> list[float]:
    """Read rows, some at a time; where it is asked, log p of the token that follows each."""
    found: list[float] = []
    for start in range(0, len(rows), decoder.most_rows):
        part = rows[start : start + decoder.most_rows]
        tokens, given, positions, slots = map(list, zip(*part, strict=True))
        page = decoder.read(tokens, slots, positions, [is_asked] * len(part), [0.0] * len(part), given)
        found += page.log_probabilities[0].tolist()
    return found


def _write(decoder: Decoder, prompts: Sequence[Tokens], max_tokens: int, end_of_text: int) -> list[list[int]]:
    written: list[list[int]] = [[] for _ in prompts]
    for slot in range(len(prompts)):
        decoder.open(slot, _GREEDY)
    _read(decoder, [_Row(*row, slot) for slot, prompt in enumerate(prompts) for row in _given(prompt, 0)])
    last, places = [prompt[-1] for prompt in prompts], [len(prompt) - 1 for prompt in prompts]
    goes_on = [slot for slot in range(len(prompts)) if places[slot] < decoder.config.context_tokens]
    while goes_on:
        left = min(decoder.config.context_tokens - places[slot] for slot in goes_on)
        steps = np.zeros((min(_STEPS, left), len(goes_on)))
        page = decoder.write([last[slot] for slot in goes_on], goes_on, [places[slot] for slot in goes_on], steps)
        for column, slot in enumerate(goes_on):
            written[slot] += page.tokens[:, column].tolist()
            last[slot], places[slot] = written[slot][-1], places[slot] + len(steps)
        goes_on = [
            slot for slot in goes_on
            if end_of_text not in written[slot] and len(written[slot]) < max_tokens
            and places[slot] < decoder.config.context_tokens
        ]  # fmt: skip
    return [list(takewhile(lambda token: token != end_of_text, tokens[:max_tokens])) for tokens in written]


def _rank(decoder: Decoder, prompt: Tokens, catalogue: Catalogue, count: int, excluded: Collection[int]) -> Ranked:
    """Beam search: every beam has a slot and reads its whole path again, which is shorter than what it would copy."""
    decoder.open(0, _GREEDY)
    _read(decoder, [_Row(*row, 0) for row in _given(prompt, 0)])
    decoder.copy(0, list(range(1, count)), len(prompt))
    beams, found = [_Beam(0.0, (), catalogue.root)], list[tuple[int, float]]()
    while beams:
        rows = [
            _Row(token, given, position, slot)
            for slot, beam in enumerate(beams)
            for token, given, position in _given([prompt[-1], *beam.path, _NONE], len(prompt) - 1)
        ]  # fmt: skip
        longer = [beam for beam in _steps(beams, _last_logits(decoder, rows)) if beam.node.entry not in excluded]
        candidates = sorted(longer, key=lambda beam: -beam.score)[:count]
        found += [(beam.node.entry, beam.score) for beam in candidates if beam.node.entry >= 0]
        beams = [beam for beam in candidates if beam.node.entry < 0]
        worst = sorted((score for _, score in found), reverse=True)[count - 1 : count]
        beams = [beam for beam in beams if not worst or beam.score > worst[0]]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:count]


def _last_logits(decoder: Decoder, rows: Sequence[_Row]) -> Floats:
    """Log-probabilities of all tokens after the last row of each slot, in the order of the slots.  # [slots, V]"""
    found = []
    for start in range(0, len(rows), decoder.most_rows):
        part = rows[start : start + decoder.most_rows]
        tokens, given, positions, slots = map(list, zip(*part, strict=True))
        ends = [token == _NONE for token in given]
        decoder.read(tokens, slots, positions, ends, [0.0] * len(part), given)
        logits = decoder.logits(sum(ends)).astype(np.float64)
        most = logits.max(axis=1, keepdims=True)
        found.append(logits - most - np.log(np.exp(logits - most).sum(axis=1, keepdims=True)))
    return np.concatenate(found)


def _steps(beams: Sequence[_Beam], chances: Floats) -> Iterator[_Beam]:
    """Every beam, one token longer in every way that the catalogue knows."""
    for beam, row in zip(beams, chances, strict=True):
        for token, node in beam.node.children.items():
            yield _Beam(beam.score + float(row[token]), (*beam.path, token), node)
