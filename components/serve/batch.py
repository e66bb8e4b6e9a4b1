"""Many prompts, or many requests of an application, at once without a server: what a flow writes into a table.

In: prompts and options, or requests; a loaded version. Out: one result for each, in their order. In between: all slots
are kept busy. A prompt's text depends on the version, the options, the seed and its row number alone, an answer on
the version and the request, so a table that is cut into groups in another way, or done again, reads the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationError

from components.applications import Body
from components.core.errors import InputError
from components.core.stage import Config
from components.model.decoding import Choice, load_weights
from components.serve.applications import Question, answering, learn, respond_all
from components.serve.engine import Engine, Order, Ticket
from components.serve.errors import Refusal
from components.serve.text import TextReader
from components.serve.versions import Opened
from components.tokenizer.codec import Codec

Reason = Literal["stop", "length", "error", "too_long"]


class BatchOptions(Config):
    """How to write."""

    num_tokens: int = Field(default=100, ge=1, description="most tokens of a text")
    temperature: float = Field(default=0.8, ge=0, le=2, description="0 takes the likeliest token")
    seed: int = Field(default=1, ge=0, lt=1 << 63, description="the row number is added to it")


@dataclass(frozen=True)
class Result:
    """A text, how it ended, and what it took; no text where the prompt does not fit the context."""

    text: str | None
    reason: Reason
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Answered:
    """A response as JSON, or what is wrong with the request."""

    answer: str | None
    error: str | None


class BatchWriter:
    """A version that writes tables."""

    def __init__(self, opened: Opened, *, num_slots: int = 32) -> None:
        config, weights = load_weights(opened.model)
        self._codec, self._context = Codec.load(opened.tokenizer), config.context_tokens
        self._news = threading.Event()
        self._engine = Engine(config, weights, num_slots=num_slots, wake=lambda _tickets: self._news.set())

    def write(self, prompts: Sequence[str], options: BatchOptions, first_row: int) -> list[Result]:
        """The texts of the rows from ``first_row`` on."""
        encoded = [[self._codec.end_of_text, *tokens.tolist()] for tokens in self._codec.encode_all(prompts)]
        tickets = [self._submit(tokens, options, first_row + i) for i, tokens in enumerate(encoded)]
        while any(ticket and not _is_done(ticket) for ticket in tickets):
            self._news.wait()
            self._news.clear()
        return [self._result(tokens, ticket) for tokens, ticket in zip(encoded, tickets, strict=True)]

    def close(self) -> None:
        """End the threads."""
        self._engine.close()

    def _submit(self, tokens: list[int], options: BatchOptions, row: int) -> Ticket | None:
        room = self._context - len(tokens)
        if room < 1:
            return None
        choice = Choice(temperature=options.temperature)
        order = Order(tokens, choice, min(room, options.num_tokens), options.seed + row, self._codec.end_of_text)
        return self._engine.submit(order)

    def _result(self, tokens: list[int], ticket: Ticket | None) -> Result:
        if ticket is None:
            return Result(None, "too_long", len(tokens), 0)
        reader, reason, count, text = TextReader(self._codec), ticket.inbox[-1], 0, ""
        for item in ticket.inbox:
            if not isinstance(item, str):
                text, count = text + reader.add(item.number), count + 1
        return Result(text + reader.end(), _named(reason), len(tokens), count)


class BatchAnswerer:
    """A version that answers requests of one application. Raises InputError where it cannot."""

    def __init__(self, opened: Opened, name: str) -> None:
        known = answering(opened.model, opened.applications)
        if name not in known:
            expected = f"one of: {', '.join(sorted(known)) or 'none'}"
            fix = "name one that the version answers, or fine-tune it for this one"
            raise InputError("--application", found=f"{name!r}", expected=expected, fix=fix)
        config, weights = load_weights(known[name].model)
        self._engine = Engine(config, weights, num_slots=1, wake=lambda _tickets: None)
        self._skill = learn(known[name], Codec.load(opened.tokenizer), self._engine)

    @property
    def request(self) -> type[Body]:
        """The type of a request."""
        return self._skill.application.request

    def answer(self, rows: Sequence[Mapping[str, object]]) -> list[Answered]:
        """The response to each row that is a request, as JSON; of every other one what is wrong with it."""
        read = [self._read(row) for row in rows]
        responses = iter(respond_all(self._skill, [one for one in read if not isinstance(one, str)]))
        return [
            Answered(None, one) if isinstance(one, str) else Answered(next(responses).model_dump_json(), None)
            for one in read
        ]

    def close(self) -> None:
        """End the threads."""
        self._engine.close()

    def _read(self, row: Mapping[str, object]) -> Question | str:
        given = {name: value for name, value in row.items() if value is not None}
        try:
            return self._skill.question(self.request.model_validate(given))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except Refusal as refusal:
            return refusal.detail


def _is_done(ticket: Ticket) -> bool:
    return bool(ticket.inbox) and isinstance(ticket.inbox[-1], str)


def _named(reason: object) -> Reason:
    return "stop" if reason == "stop" else "length" if reason == "length" else "error"
