"""What a stage is: a name, a config, and a function from input folders to one output folder.

In: a frozen config and paths of artifacts. Out: files below ``output`` and a Report.
In between: the function touches nothing else. Its keyword-only arguments of type Path are its inputs;
``output`` is an empty scratch folder that gets its final name only if the books balance.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from components.core.errors import StageError

OUTPUT, LIVE, CREW, ATTEMPT, KEY = "output", "live", "crew", "attempt", "key"


class Config(BaseModel):
    """Base of every stage's section of params.yaml: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Live(Protocol):
    """Takes the numbers of a running stage as they come; they never reach an artifact."""

    def __call__(self, step: int, values: Mapping[str, float], /) -> None: ...


class LiveRun(Live, Protocol):
    """A Live that somebody opened for one run of a stage and is told how that ended."""

    def close(self, *, succeeded: bool) -> None: ...


@dataclass(frozen=True)
class Attempt:
    """One of perhaps several attempts at the same work.

    Attributes:
        folder: outlives an attempt that is stopped or killed, and is removed when the work is done. What is kept there
            may save time and must never change the output.
        identity: which work it is: the stage, the digest of its code, its params and the digests of its inputs.
    """

    folder: Path
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Books:
    """What came in, what was kept, what was dropped and why: ``received == kept + sum(dropped)``."""

    received: int
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    def check(self, stage: str) -> None:
        """Raises StageError when the books do not balance."""
        dropped = sum(self.dropped.values())
        if self.received != self.kept + dropped:
            raise StageError(
                f"stage {stage}, books",
                found=f"{self.received} received, {self.kept} kept, {dropped} dropped",
                expected="received = kept + dropped",
                fix="this is a fault of the stage: report it with the params.yaml that shows it",
            )


@dataclass(frozen=True)
class Report:
    """What a stage tells about its work. Holds no clock, no host and no path, so equal work reads equal."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    books: Books | None = None

    def as_json(self) -> dict[str, Any]:
        """The report as it stands in ``report.json``: flat numbers first, the way metric tools read them."""
        values: dict[str, Any] = dict(self.metrics)
        if self.books is not None:
            values |= {"received": self.books.received, "kept": self.books.kept}
            values["dropped"] = dict(self.books.dropped)
        return values


StageFunction = Callable[..., Report]


def _nothing(_config: Any, **_inputs: Path) -> Iterable[Path]:
    return ()


@dataclass(frozen=True)
class Stage:
    """One step of the chain, described as a value; ``components.core.execute`` runs it.

    Attributes:
        name: the one name of the step: DVC stage, Prefect task, params section (``@`` becomes a dot). One that ends in
            ``@`` is a step that is taken once for each of several keys; ``of`` gives the stage of one.
        config: the type of its params section.
        function: ``fn(config, *, <inputs: Path>, output: Path[, live: Live][, crew: Crew][, attempt: Attempt]
            [, key: str]) -> Report``; ``key`` is what follows the ``@``.
        reads: further paths that the inputs name (the files that a lock pins), allowed for reading.
        fetch: brings what the inputs name to this machine before the walls close, in the outer process, which has a
            network; it cannot change an artifact, since the function checks the bytes of all that it reads.
        state: folders of a service that the stage may read and write (a registry's database).
        environment: names of environment variables that it may see; none may change an artifact.
        network: whether it may open TCP connections.
        networked_by: environment variables any of which says that it works with other machines, and so may too.
        is_current: a quick look, with the function's own arguments, whether the world outside already is as the
            stage would leave it; only for stages that change a service, where no file can tell.
        place: dotted key of its section in params.yaml, ``{}`` for the key; empty where that is its name.
    """

    name: str
    config: type[Config]
    function: StageFunction
    reads: Callable[..., Iterable[Path]] = _nothing
    fetch: Callable[..., object] = _nothing
    state: tuple[Path, ...] = ()
    environment: tuple[str, ...] = ()
    network: bool = False
    networked_by: tuple[str, ...] = ()
    is_current: Callable[..., bool] | None = None
    place: str = ""

    def of(self, key: str) -> Stage:
        """The stage of one key."""
        return replace(self, name=self.name + key)

    @property
    def key(self) -> str:
        """What follows the ``@``; empty where there is none."""
        return self.name.partition("@")[2]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input artifacts, in the order of the function's signature."""
        parameters = inspect.signature(self.function).parameters.values()
        keywords = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        return tuple(name for name in keywords if name not in (OUTPUT, LIVE, CREW, ATTEMPT, KEY))

    @property
    def is_live(self) -> bool:
        """Whether the function tells its numbers while it runs."""
        return LIVE in inspect.signature(self.function).parameters

    @property
    def is_parallel(self) -> bool:
        """Whether the function spreads its work over workers (``components.core.parallel``)."""
        return CREW in inspect.signature(self.function).parameters

    @property
    def is_resumable(self) -> bool:
        """Whether the function can go on where an attempt that was stopped had come to."""
        return ATTEMPT in inspect.signature(self.function).parameters

    @property
    def is_keyed(self) -> bool:
        """Whether the function is told its key."""
        return KEY in inspect.signature(self.function).parameters

    @property
    def section(self) -> str:
        """The dotted key of its section in params.yaml."""
        return self.place.format(self.key) if self.place else self.name.replace("@", ".")
