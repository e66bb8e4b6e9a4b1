"""From orders to answers: the texts of one request, piece by piece, as their tokens come from the lanes.

In: a model, orders and stop strings. Out: pieces, each of one text, in the order in which they came. In between:
a request's texts share one event that the lanes set; when the request ends, however it ends, its slots are free.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from components.serve.engine import Engine, Order, Ticket, Token
from components.serve.errors import broken, ending, too_slow
from components.serve.text import TextReader
from components.tokenizer.codec import Codec

Reason = Literal["stop", "length"]


class Bell:
    """Tells coroutines of one event loop what the lanes have put into their inboxes, and when all must end.

    Attributes:
        is_over: no text is waited for any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self.is_over = loop, False
        self._events: dict[Ticket, asyncio.Event] = {}

    def wake(self, tickets: Sequence[Ticket]) -> None:
        """For the lanes: something is in these inboxes. May be called from any thread."""
        with suppress(RuntimeError):  # the loop has ended, and so has everybody who could listen
            self._loop.call_soon_threadsafe(self._ring, tickets)

    def listen(self, tickets: Sequence[Ticket]) -> asyncio.Event:
        """The event that is set when one of these inboxes gets something."""
        event = asyncio.Event()
        self._events |= dict.fromkeys(tickets, event)
        event.set()  # something may have come already
        return event

    def end(self) -> None:
        """The server ends now: whoever listens hears of it."""
        self.is_over = True
        self._ring(list(self._events))

    def leave(self, tickets: Sequence[Ticket]) -> None:
        """Nobody listens for these any more."""
        for ticket in tickets:
            self._events.pop(ticket, None)

    def _ring(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            if event := self._events.get(ticket):
                event.set()


@dataclass(frozen=True)
class Piece:
    """A part of the text number ``index``: what can be shown, the tokens it came from, and how the text ended."""

    index: int
    text: str
    tokens: Sequence[Token]
    reason: Reason | None


@dataclass
class _Text:
    index: int
    ticket: Ticket
    reader: TextReader
    is_open: bool = field(default=True)

    def take(self) -> Piece | None:
        """What came since the last time."""
        text, tokens, reason, inbox = "", [], None, self.ticket.inbox
        while inbox and self.is_open:
            item = inbox.popleft()
            if isinstance(item, str):
                if item == "error":
                    raise broken()
                text, reason, self.is_open = text + self.reader.end(), item, False
                continue
            text += self.reader.add(item.number)
            tokens.append(item)
            if self.reader.is_stopped:
                self.ticket.cancel()
                reason, self.is_open = "stop", False
        return Piece(self.index, text, tokens, reason) if tokens or reason else None


async def write(
    engine: Engine, codec: Codec, bell: Bell, orders: Sequence[Order], stops: Sequence[str], seconds: float
) -> AsyncGenerator[Piece, None]:
    """The pieces of the texts that are ordered. Raises Refusal when the time is over, a lane fails or all must end."""
    tickets = [engine.submit(order) for order in orders]
    texts = [_Text(i, ticket, TextReader(codec, stops)) for i, ticket in enumerate(tickets)]
    event, end = bell.listen(tickets), asyncio.get_running_loop().time() + seconds
    try:
        while open_texts := [text for text in texts if text.is_open]:
            await _wait(event, end)
            event.clear()
            if bell.is_over:
                raise ending()
            for text in open_texts:
                if piece := text.take():
                    yield piece
    finally:
        bell.leave(tickets)
        for ticket in tickets:
            ticket.cancel()


async def _wait(event: asyncio.Event, end: float) -> None:
    try:
        async with asyncio.timeout_at(end):
            await event.wait()
    except TimeoutError:
        raise too_slow("The answer took longer than this server allows.", 504) from None
