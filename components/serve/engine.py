"""Texts written side by side: orders come at any time, each gets a slot, all slots advance together.

In: orders, from any thread. Out: tokens in each ticket's inbox, and a call of ``wake`` when there is something new.
In between: every processor has a lane, a thread with its own slots and its own waiting line; while a lane computes
it leaves Python. A lane reads prompts in pieces between the steps of those who write, so a long prompt holds up
nobody for long, and takes in the next order as soon as a slot is free (continuous batching, Yu et al. 2022,
section 3.1). What a text says does not depend on any of this: see ``components.model.decoding``.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from components.model.config import ModelConfig
from components.model.decoding import Choice, Decoder
from components.model.decoding_kernels import Weights, Written

Finish = Literal["stop", "length", "error"]
# A lane stays out of Python for about so long; the other lane, the event loop and whoever waits then get their turn.
_CALL_SECONDS = 0.004
_MOST_STEPS = 64
_log = logging.getLogger("pedigree.serve")


@dataclass(frozen=True)
class Order:
    """A text to write.

    Attributes:
        prompt: at least one token, fewer than the context holds.
        choice: how each next token is chosen.
        num_tokens: most tokens to write; prompt and these must fit the context together.
        seed: of the random numbers; equal orders give equal texts.
        stop_token: ends the text and is not part of it.
        given: the text itself, where nothing is to be written and only the probabilities of its tokens are wanted.
    """

    prompt: Sequence[int]
    choice: Choice
    num_tokens: int
    seed: int
    stop_token: int | None = None
    given: Sequence[int] = ()

    @property
    def read(self) -> Sequence[int]:
        """What is read before anything is written; the last token of a given text tells of no other."""
        return [*self.prompt, *self.given[:-1]] if self.given else self.prompt


class Token(NamedTuple):
    """A token, its log-probability, and the likeliest ones in its place with theirs."""

    number: int
    log_probability: float
    top: tuple[tuple[int, float], ...]


@dataclass(eq=False)
class Ticket:
    """What whoever ordered a text holds of it. Tokens arrive in ``inbox``; after the last one, a Finish."""

    order: Order
    inbox: deque[Token | Finish] = field(default_factory=deque)
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Nobody waits for this text any more: its slot goes to the next order. Nothing follows in the inbox."""
        self.is_cancelled = True


Wake = Callable[[Sequence[Ticket]], None]


class Engine:
    """The lanes of one model."""

    def __init__(self, config: ModelConfig, weights: Weights, *, num_slots: int, wake: Wake) -> None:
        num_lanes = min(num_slots, len(os.sched_getaffinity(0)))
        sizes = [num_slots // num_lanes + (i < num_slots % num_lanes) for i in range(num_lanes)]
        self._lanes = [_Lane(Decoder(config, weights, num_slots=size), wake) for size in sizes]
        self.config, self.weights, self.num_slots = config, weights, num_slots
        for lane in self._lanes:
            lane.start()

    def submit(self, order: Order) -> Ticket:
        """Put an order in the shortest line; returns at once."""
        ticket = Ticket(order)
        min(self._lanes, key=lambda lane: lane.num_busy + lane.num_waiting).add(ticket)
        return ticket

    @property
    def num_busy(self) -> int:
        """Slots in use."""
        return sum(lane.num_busy for lane in self._lanes)

    @property
    def num_waiting(self) -> int:
        """Orders without a slot."""
        return sum(lane.num_waiting for lane in self._lanes)

    def close(self) -> None:
        """Finish what was ordered, then end the threads; returns at once."""
        for lane in self._lanes:
            lane.close()


@dataclass(eq=False)
class _Text:
    """A text that has a slot: ``num_read`` of the tokens ``read`` are in the memory, ``num_written`` were written."""

    ticket: Ticket
    slot: int
    random: np.random.Generator
    read: Sequence[int]
    num_read: int = 0
    num_written: int = 0
    last: int = 0

    @property
    def num_unread(self) -> int:
        return len(self.read) - self.num_read

    @property
    def num_left(self) -> int:
        return self.ticket.order.num_tokens - self.num_written


class _Lane:
    """A thread with its slots and its line."""

    def __init__(self, decoder: Decoder, wake: Wake) -> None:
        self._decoder, self._wake = decoder, wake
        self._waiting: deque[Ticket] = deque()
        self._texts: list[_Text] = []
        self._free = list(range(decoder.num_slots))
        self._changed = threading.Condition()
        self._is_closing = False
        self._step_seconds = _CALL_SECONDS

    def start(self) -> None:
        threading.Thread(target=self._run, name="lane", daemon=True).start()

    def add(self, ticket: Ticket) -> None:
        with self._changed:
            self._waiting.append(ticket)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    @property
    def num_busy(self) -> int:
        return len(self._texts)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def _run(self) -> None:
        while self._admit():
            try:
                self._advance()
            except Exception:  # noqa: BLE001 - whatever it was, those who wait must hear of it, and the others must be served
                _log.exception("a lane failed; the texts in it end here")
                failed = list(self._texts)
                self._finish(dict.fromkeys(failed, "error"))
                self._wake([text.ticket for text in failed])

    def _admit(self) -> bool:
        """Wait for work and give slots to those in line; False when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._texts or self._waiting or self._is_closing)
            self._drop_cancelled()
            while self._waiting and self._free:
                ticket = self._waiting.popleft()
                if not ticket.is_cancelled:
                    self._seat(ticket)
            return bool(self._texts or self._waiting or not self._is_closing)

    def _drop_cancelled(self) -> None:
        self._free += [text.slot for text in self._texts if text.ticket.is_cancelled]
        self._texts = [text for text in self._texts if not text.ticket.is_cancelled]

    def _seat(self, ticket: Ticket) -> None:
        slot = self._free.pop()
        self._decoder.open(slot, ticket.order.choice)
        self._texts.append(_Text(ticket, slot, np.random.default_rng(ticket.order.seed), ticket.order.read))

    def _advance(self) -> None:
        if reading := [text for text in self._texts if text.num_unread]:
            self._read(reading)
        if writing := [text for text in self._texts if not text.num_unread]:
            self._write(writing, is_alone=not reading)

    def _read(self, texts: Sequence[_Text]) -> None:
        """Take in as many tokens as one call holds; whose prompt ends there gets the first token."""
        room = self._decoder.most_rows
        rows: list[tuple[int, int, int, bool, float, int]] = []
        ends: dict[_Text, list[int]] = {}
        for text in texts:
            order, count = text.ticket.order, min(room, text.num_unread)
            first_end = len(order.prompt) - 1
            for place in range(text.num_read, text.num_read + count):
                is_end = place >= first_end
                given = order.given[place - first_end] if is_end and order.given else -1
                uniform = text.random.random() if is_end and not order.given else 0.0
                if is_end:
                    ends.setdefault(text, []).append(len(rows))
                rows.append((text.read[place], text.slot, place, is_end, uniform, given))
            text.num_read, room = text.num_read + count, room - count
        page = self._decoder.read(*zip(*rows, strict=True))
        self._hand_over({text: _tokens(page, text, [(0, row) for row in places]) for text, places in ends.items()})

    def _write(self, texts: Sequence[_Text], *, is_alone: bool) -> None:
        """As many steps for each text as fit into a call; half of them where others read beside it."""
        positions = [len(text.read) + text.num_written - 1 for text in texts]
        room = min(self._decoder.config.context_tokens - max(positions), max(text.num_left for text in texts))
        most = int(_CALL_SECONDS / self._step_seconds) // (1 if is_alone else 2)
        num_steps = max(1, min(room, most, _MOST_STEPS))
        uniforms = np.stack([text.random.random(num_steps) for text in texts], axis=1)
        began = time.perf_counter()
        page = self._decoder.write([text.last for text in texts], [text.slot for text in texts], positions, uniforms)
        self._step_seconds = (time.perf_counter() - began) / num_steps
        steps = range(num_steps)
        self._hand_over({text: _tokens(page, text, [(s, row) for s in steps]) for row, text in enumerate(texts)})

    def _hand_over(self, written: Mapping[_Text, Sequence[Token]]) -> None:
        self._finish({text: end for text, tokens in written.items() if (end := _take(text, tokens))})
        self._wake([text.ticket for text in written])

    def _finish(self, ends: Mapping[_Text, Finish]) -> None:
        for text, end in ends.items():
            text.ticket.inbox.append(end)
            self._free.append(text.slot)
        self._texts = [text for text in self._texts if text not in ends]


def _take(text: _Text, tokens: Sequence[Token]) -> Finish | None:
    """Put the tokens of a text into its inbox; says how it ended, if it did."""
    order = text.ticket.order
    for token in tokens:
        if token.number == order.stop_token:
            return "stop"
        text.ticket.inbox.append(token)
        text.num_written += 1
        if not text.num_left:
            return "length"
    text.last = tokens[-1].number
    return None


def _tokens(page: Written, text: _Text, places: Sequence[tuple[int, int]]) -> list[Token]:
    """The tokens at places (step, row) of a page."""
    steps, rows = (list(numbers) for numbers in zip(*places, strict=True))
    numbers, chances = page.tokens[steps, rows].tolist(), page.log_probabilities[steps, rows].tolist()
    num_top = text.ticket.order.choice.num_top
    if not num_top:
        return [Token(number, chance, ()) for number, chance in zip(numbers, chances, strict=True)]
    top = page.top_tokens[steps, rows, :num_top].tolist()
    top_chances = page.top_log_probabilities[steps, rows, :num_top].tolist()
    tops = (tuple(zip(*pair, strict=True)) for pair in zip(top, top_chances, strict=True))
    return [Token(*values) for values in zip(numbers, chances, tops, strict=True)]
