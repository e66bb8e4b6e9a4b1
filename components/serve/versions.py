"""The versions in memory: the followed one, and those that somebody asked for by number.

In: a source of versions, handed in by whoever starts the server. Out: a version to answer with, held for as long as
the answer takes. In between: nothing is loaded that the source has not checked byte for byte. When the alias moves,
the new version is loaded beside the old one, then takes its place in one assignment: requests that come after it
get the new one, answers that run end on theirs, and a version that nobody uses any more is let go.

All of this runs on the event loop, only loading and the registry's answers come from threads; so no lock is needed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from components.core.errors import PedigreeError
from components.model.decoding import Choice, load_weights
from components.serve.applications import Learned, Skill, answering, learn
from components.serve.aside import aside
from components.serve.config import ServeConfig
from components.serve.engine import Engine, Order, Wake
from components.serve.errors import not_ready, too_slow, unknown_model
from components.tokenizer.codec import Codec

# The log says why, with paths and addresses that are nobody else's affair.
NONE_YET = "No version can answer yet; the log of the server says why."
_PATIENCE_SECONDS = 5.0  # before the log says that the registry does not answer
_RETRY_SECONDS = 30.0  # before a version that was refused is looked at again
_log = logging.getLogger("pedigree.serve")


@dataclass(frozen=True)
class Identity:
    """Which version: the name of the model, its number, its digest, and the aliases that name it."""

    name: str
    number: int
    digest: str
    aliases: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Its name in requests and answers, such as ``pedigree@3``."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True)
class Opened:
    """A version whose every byte was checked: its folders, its card as Markdown, its page as HTML, what was signed of
    where it came from, and the applications that it learned."""

    model: Path
    tokenizer: Path
    card: str
    page: bytes
    pedigree: Mapping[str, Any]
    applications: Sequence[Learned] = ()


class Source(Protocol):
    """Where versions come from. Both calls may take their time and raise PedigreeError."""

    def list(self) -> Sequence[Identity]:
        """All versions, newest first; a quick look."""
        ...

    def open(self, identity: Identity) -> Opened:
        """Check every byte of a version."""
        ...


@dataclass(eq=False)
class Served:
    """A version in memory."""

    identity: Identity
    opened: Opened
    codec: Codec
    engine: Engine
    skills: Mapping[str, Skill]
    num_users: int = 0
    last_used: float = field(default_factory=time.monotonic)

    @property
    def engines(self) -> list[Engine]:
        """The model that writes on, and those that learned applications."""
        return list(
            {id(engine): engine for engine in (self.engine, *(s.engine for s in self.skills.values()))}.values()
        )


class Versions:
    """What can answer. ``follow`` must run beside it."""

    def __init__(self, source: Source, config: ServeConfig, wake: Wake) -> None:
        self._source, self._which, self._most = source, config.which, config.most_versions
        self._timeout_seconds = config.timeout_seconds
        self._load: Callable[[Identity], Served] = lambda identity: _load(source, identity, config, wake)
        self._served: dict[str, Served] = {}
        self._loading: dict[str, asyncio.Task[Served]] = {}
        self._refused: dict[str, tuple[float, str]] = {}
        self.known: Sequence[Identity] = ()
        self.current: Served | None = None
        self.trouble = "no version is loaded yet"

    @property
    def loaded(self) -> list[Served]:
        """The versions in memory."""
        return list(self._served.values())

    @property
    def num_refused(self) -> int:
        """Versions that did not pass their check lately."""
        return len(self._refused)

    async def follow(self, poll_seconds: float) -> None:
        """Ask the source again and again, and load what the alias names; never ends and never fails."""
        while True:
            try:
                await self._look()
                self._note("")
            except PedigreeError as error:
                self._note(str(error))
            except Exception as error:  # noqa: BLE001 - the server must go on with what it has
                _log.exception("looking for a new version failed")
                self._note(f"{type(error).__name__}: {error}")
            await asyncio.sleep(poll_seconds)

    @asynccontextmanager
    async def use(self, model: str | None, application: str = "") -> AsyncIterator[Served]:
        """The version for a model's name in a request, or the followed one. Raises Refusal.

        Who follows an alias follows ``ALIAS-APPLICATION`` in an application, where there is such an alias.
        """
        served = await self._find(model, application)
        while self._served.get(served.identity.digest) is not served:  # let go while we waited
            served = await self._find(model, application)
        served.num_users += 1
        try:
            yield served
        finally:
            served.num_users, served.last_used = served.num_users - 1, time.monotonic()
            self._let_go()

    async def _look(self) -> None:
        self.known = await self._list()
        wanted = self._choose(self._which)
        if wanted is None:
            raise PedigreeError("serving", found=f"no version {self._which!r}", expected="a registered version",
                                fix="`pedigree run` makes one; `pedigree status` names them")  # fmt: skip
        if self.current is None or self.current.identity.digest != wanted.digest:
            self.current = await self._get(wanted)
            _log.info("serving", extra={"fields": {"model": wanted.model, "digest": wanted.digest}})
        self.current.identity = wanted  # its aliases may be others now
        self._let_go()

    async def _list(self) -> Sequence[Identity]:
        """All versions; who asks may wait for long, so that the log says early for what."""
        slow = f"the registry has not answered for {_PATIENCE_SECONDS:g} s"
        note = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._note, slow)
        try:
            return await aside(self._source.list)
        finally:
            note.cancel()

    @property
    def aliases(self) -> dict[str, Identity]:
        """The versions that an alias names; an alias is a name of a model too."""
        return {alias: identity for identity in self.known for alias in identity.aliases}

    def _choose(self, which: str) -> Identity | None:
        """The version with an alias, a number or the beginning of a digest."""
        for identity in self.known:
            if which in identity.aliases or which == str(identity.number):
                return identity
        return next((i for i in self.known if len(which) >= 6 and i.digest.startswith(which)), None)

    async def _find(self, model: str | None, application: str) -> Served:
        if self.current is None:
            raise not_ready(NONE_YET)
        name, at, which = (model or self.current.identity.name).partition("@")
        is_followed = name == self.current.identity.name and not at
        own = self.aliases.get(f"{self._which}-{application}") if is_followed else None
        if is_followed and own is None:
            return self.current
        identity = own or (self._choose(which) if name == self.current.identity.name else self.aliases.get(name))
        if identity is None:
            raise unknown_model(str(model), self._names())
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._get(identity)
        except TimeoutError:
            raise too_slow(f"Version {identity.model} took longer to load than this server allows.", 504) from None
        except PedigreeError as error:
            _log.warning("refused", extra={"fields": {"model": identity.model, "reason": str(error)}})
            message = f"Version {identity.model} did not pass its check and is not loaded."
            raise not_ready(message, "version_refused") from None

    def _names(self) -> list[str]:
        names = [self.known[0].name, *self.aliases] if self.known else []
        return names + [identity.model for identity in self.known[:20]]

    async def _get(self, identity: Identity) -> Served:
        """A version from memory, or loaded; several who want it wait for one loading."""
        if served := self._served.get(identity.digest):
            return served
        since, reason = self._refused.get(identity.digest, (0.0, ""))
        if reason and time.monotonic() - since < _RETRY_SECONDS:
            raise PedigreeError("serving", found=reason, expected="a version that passes", fix="wait, or register it")
        task = self._loading.get(identity.digest)
        if task is None:
            task = self._loading[identity.digest] = asyncio.create_task(self._load_one(identity))
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # perhaps nobody waits any more
        return await asyncio.shield(task)

    async def _load_one(self, identity: Identity) -> Served:
        _log.info("loading", extra={"fields": {"model": identity.model, "digest": identity.digest}})
        try:
            served = await aside(lambda: self._load(identity))
        except PedigreeError as error:
            self._refused[identity.digest] = (time.monotonic(), _first_line(str(error)))
            raise
        finally:
            del self._loading[identity.digest]
        self._refused.pop(identity.digest, None)
        self._served[identity.digest] = served
        return served

    def _let_go(self) -> None:
        """Drop the longest unused versions above the limit; the current one and those in use stay."""
        idle = [s for s in self._served.values() if not s.num_users and s is not self.current]
        surplus = max(0, len(self._served) - self._most)
        for served in sorted(idle, key=lambda s: s.last_used)[:surplus]:
            for engine in served.engines:
                engine.close()
            del self._served[served.identity.digest]

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            _log.error("trouble", extra={"fields": {"reason": trouble}})
        self.trouble = trouble


def _load(source: Source, identity: Identity, config: ServeConfig, wake: Wake) -> Served:
    """Check, read and warm up a version: its first text compiles what the processor will run."""
    opened = source.open(identity)
    codec = Codec.load(opened.tokenizer)
    engines = {
        folder: Engine(*load_weights(folder, one_byte=config.weights == "int8"), num_slots=config.num_slots, wake=wake)
        for folder in (opened.model, *(learned.model for learned in opened.applications))
    }
    engine = engines[opened.model]
    ticket = engine.submit(Order([codec.end_of_text], Choice(), 1, seed=0))
    while not any(isinstance(item, str) for item in ticket.inbox):
        time.sleep(0.005)
    if ticket.inbox[-1] == "error":
        raise PedigreeError(identity.model, found="a first text that failed", expected="a text", fix="see the log")
    known = answering(opened.model, opened.applications)
    skills = {name: learn(learned, codec, engines[learned.model]) for name, learned in known.items()}
    return Served(identity, opened, codec, engine, skills)


def _first_line(text: str) -> str:
    return " ".join(text.split())[:300]
