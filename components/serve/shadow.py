"""A challenger in the shadow: it answers what the champion was asked, and nobody sees it but the log.

In: a request that was answered, with its texts. Out: a line in the log and a count. In between: the same request with
the same seed goes to another version after the answer is given; a server that is busy leaves it out, so nobody waits
for a shadow. The line tells how far the texts agree and what each took; no prompt and no text stands in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from components.core.errors import PedigreeError
from components.serve.answers import Bell, write
from components.serve.config import ServeConfig
from components.serve.errors import Refusal
from components.serve.formats import Text
from components.serve.protocol import ChatRequest, CompletionRequest
from components.serve.requests import orders_of
from components.serve.versions import Served, Versions
from components.serve.watch import Visit, Watch

_log = logging.getLogger("pedigree.serve")
Body = CompletionRequest | ChatRequest


class Shadow:
    """Follows the version that a config names; does nothing where it names none."""

    def __init__(self, config: ServeConfig, versions: Versions, bell: Bell, watch: Watch) -> None:
        self._config, self._versions, self._bell, self._watch = config, versions, bell, watch
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, visit: Visit, served: Served, body: Body, seed: int, texts: Sequence[Text]) -> None:
        """Let the shadow answer too; returns at once."""
        if not self._config.shadow or served is not self._versions.current:
            return
        again = body.model_copy(update={"seed": seed})
        task = asyncio.create_task(self._follow(visit.request_id, served, again, texts, visit.seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, request_id: str, served: Served, body: Body, texts: Sequence[Text], seconds: float) -> None:
        told: dict[str, object] = {"request_id": request_id, "model": served.identity.model}
        told["seconds"] = round(seconds, 4)
        try:
            async with self._versions.use(f"{served.identity.name}@{self._config.shadow}") as other:
                told["shadow"] = other.identity.model
                outcome = "same version" if other is served else "busy" if _is_busy(other) else ""
                if not outcome:
                    begin = time.perf_counter()
                    found = await self._write(other, body)
                    told |= {**_compare(texts, found), "shadow_seconds": round(time.perf_counter() - begin, 4)}
                    outcome = "equal" if told["equal"] == len(texts) else "different"
        except (Refusal, PedigreeError) as error:
            outcome, told["reason"] = "refused", type(error).__name__
        self._watch.shadowed(outcome)
        _log.info("shadow", extra={"fields": {**told, "outcome": outcome}})

    async def _write(self, other: Served, body: Body) -> list[Text]:
        engine, orders, stops = await orders_of(body, other)
        texts = [Text() for _ in orders]
        async for piece in write(engine, other.codec, self._bell, orders, stops, self._config.timeout_seconds):
            texts[piece.index].add(piece)
        return texts


def _is_busy(other: Served) -> bool:
    return other.engine.num_waiting > 0 or other.engine.num_busy >= other.engine.num_slots


def _agreeing(one: str, other: str) -> int:
    """How many characters both begin with."""
    differences = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differences, min(len(one), len(other)))


def _compare(texts: Sequence[Text], found: Sequence[Text]) -> dict[str, object]:
    """How many texts are equal, how many characters agree from the beginning on, and what both wrote in tokens."""
    pairs = [(one.text, other.text) for one, other in zip(texts, found, strict=True)]
    return {
        "texts": len(pairs), "equal": sum(one == other for one, other in pairs),
        "agreeing_characters": sum(_agreeing(*pair) for pair in pairs),
        "characters": sum(len(one) for one, _ in pairs), "shadow_characters": sum(len(other) for _, other in pairs),
        "completion_tokens": sum(len(text.tokens) for text in texts),
        "shadow_completion_tokens": sum(len(text.tokens) for text in found),
    }  # fmt: skip
