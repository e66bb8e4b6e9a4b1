"""The one place where work is spread: the same function here, in processes beside this one, or on a Dask cluster.

In: a function of a module, what all its pieces share, and the pieces in order. Out: its results in that order.
In between: who does a piece cannot be told from its result. A worker is a process of its own that stands behind the
stage's walls and ends when its owner does. On a cluster each Dask worker keeps such a process, after it made sure that
its code is the stage's; the workspace must have the same path on every machine of the cluster.
"""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from components.core.crew import COUNT_VARIABLE, SCHEDULER_VARIABLE, Crew, Station
from components.core.errors import PedigreeError, WorkspaceError
from components.core.fingerprints import Sources
from components.core.progress import Progress
from components.core.sandbox import confine

CODE_ROOT = Path(__file__).resolve().parents[2]
# A worker takes two seconds to start: with fewer pieces the work is done sooner here.
_PIECES_FOR_A_WORKER = 3
_CONNECT_SECONDS = 30
# One core each: what libraries spread by themselves would only disturb the other workers.
_SINGLE = dict.fromkeys(("POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
# pyarrow imports pandas, Numba imports SciPy and cffi as soon as they are used: a third of what a worker took to start.
_UNASKED = ("cffi", "pandas", "scipy")
# Imports and tables make many objects and no garbage; looking for it after every 700 took a tenth of the start.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000

Shared = TypeVar("Shared")
Piece = TypeVar("Piece")
Result = TypeVar("Result")


@dataclass
class Workers:
    """Does pieces of work; use it in a ``with`` block. The default does everything in this process."""

    crew: Crew
    _open: ExitStack = field(default_factory=ExitStack)
    _idle: SimpleQueue[Worker] = field(default_factory=SimpleQueue)
    _started: int = 0
    _client: Any = None

    def map(
        self, function: Callable[[Shared, Piece], Result], shared: Shared, pieces: Sequence[Piece], description: str
    ) -> Iterator[Result]:
        """``function(shared, piece)`` for each piece, in order.

        ``function`` is named by its module; arguments and results are small and plain: places of files, not tables.
        """
        with Progress(description, total=len(pieces), unit="pieces") as progress:
            for result in self._results(function, shared, pieces):
                yield result
                progress.advance()

    def _results(self, function: Callable[..., Result], shared: object, pieces: Sequence[object]) -> Iterator[Result]:
        count = min(self.crew.count, len(pieces) // _PIECES_FOR_A_WORKER)
        if self.crew.scheduler and pieces:
            yield from self._on_cluster(function, shared, pieces)
        elif count > 1:
            yield from self._beside(count, function, shared, pieces)
        else:
            yield from (function(shared, piece) for piece in pieces)

    def _beside(
        self, count: int, function: Callable[..., Result], shared: object, pieces: Sequence[object]
    ) -> Iterator[Result]:
        while self._started < count:
            self._idle.put(self._start())

        def do(piece: object) -> Result:
            worker = self._idle.get()
            try:
                return worker.do(function, shared, piece)
            finally:
                self._idle.put(worker)

        with ThreadPoolExecutor(self._started) as threads:
            futures = [threads.submit(do, piece) for piece in pieces]
            try:
                yield from (future.result() for future in futures)
            finally:
                threads.shutdown(cancel_futures=True)

    def _start(self) -> Worker:
        """One worker more; where every processor has its worker, each keeps to its own.

        Polars and Arrow work in a thread while their caller waits, and the kernel woke it where another worker ran.
        """
        worker = self._open.enter_context(Worker.start(self.crew.station))
        processors = sorted(os.sched_getaffinity(0))
        if self.crew.count >= len(processors):
            os.sched_setaffinity(worker.process, {processors[self._started % len(processors)]})
        self._started += 1
        return worker

    def _on_cluster(
        self, function: Callable[..., Result], shared: object, pieces: Sequence[object]
    ) -> Iterator[Result]:
        if self._client is None:
            self._client = self._open.enter_context(_client(self.crew.scheduler, self.crew.station))
        futures = self._client.map(partial(do_on_cluster, self.crew.station, function, shared), pieces, pure=False)
        yield from (future.result() for future in futures)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


@dataclass
class Worker:
    """A process that does one piece at a time; it ends when this one does, because their line is cut then."""

    line: Connection
    process: int

    @classmethod
    @contextmanager
    def start(cls, station: Station) -> Iterator[Worker]:
        """A worker behind the station's walls, ended when the block ends."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "components.core.parallel", str(theirs.fileno())]
        around = {"PYTHONPATH": str(CODE_ROOT), **(station.environment or os.environ), **_SINGLE}
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=around)
        theirs.close()
        line: Connection = Connection(ours.detach())
        try:
            line.send(station.walls)
            yield cls(line, process.pid)
        finally:
            line.close()
            process.kill()
            process.wait()

    def do(self, function: Callable[..., Result], shared: object, piece: object) -> Result:
        """The result of one piece. Raises what the function raised, or PedigreeError when the worker ended."""
        try:
            self.line.send((function, shared, piece))
            succeeded, told = self.line.recv()
        except (EOFError, ConnectionError):
            raise _ended() from None
        if not succeeded:
            raise told
        result: Result = told
        return result


def do_on_cluster(station: Station, function: Callable[..., Result], shared: object, piece: object) -> Result:
    """What a Dask worker does: have the piece done by a process behind the stage's walls. Raises WorkspaceError."""
    kept = _KEPT.setdefault(station.execution, _Kept(station))
    with kept.lend() as worker:
        return worker.do(function, shared, piece)


def dismiss(execution: str) -> None:
    """End the processes that a Dask worker keeps for a run."""
    if kept := _KEPT.pop(execution, None):
        kept.open.close()


class _Kept:
    """The processes that a Dask worker keeps for one run, as many as it has threads."""

    def __init__(self, station: Station) -> None:
        self.station, self.open = _station_here(station), ExitStack()
        self._idle: list[Worker] = []

    @contextmanager
    def lend(self) -> Iterator[Worker]:
        worker = self._idle.pop() if self._idle else self.open.enter_context(Worker.start(self.station))
        yield worker
        self._idle.append(worker)


_KEPT: dict[str, _Kept] = {}


def _station_here(station: Station) -> Station:
    """The station on this machine, with the code that lies here. Raises WorkspaceError when it is other code."""
    if not station.room or station.walls is None:
        return station
    sources = Sources(CODE_ROOT)
    here = sources.fingerprint(station.room)
    if here.digest != station.fingerprint:
        fix = "install the same commit and the same requirements.lock on every machine of the cluster"
        where = f"Dask worker on {socket.gethostname()}"
        raise WorkspaceError(where, found=f"code {here.digest}", expected=f"code {station.fingerprint}", fix=fix)
    files = [path for name in here.modules if (path := sources.path(name))]
    files += [CODE_ROOT / name for name in here.resources]
    walls = replace(
        station.walls, readable=(*station.walls.readable, *files), network=False,
        listable=(*station.walls.listable, CODE_ROOT / "components"),
    )  # fmt: skip
    own = {"PYTHONPATH": str(CODE_ROOT), "PATH": os.environ.get("PATH", "")}
    return replace(station, walls=walls, environment={**(station.environment or {}), **own})


@contextmanager
def _client(address: str, station: Station) -> Iterator[Any]:
    """A client of the cluster. Raises WorkspaceError when nobody answers."""
    from distributed import Client

    try:
        client: Any = Client(
            address,  # type: ignore[no-untyped-call]
            timeout=_CONNECT_SECONDS,
            set_as_default=False,
        )
    except (OSError, TimeoutError, ValueError) as error:
        fix = f"start it with `dask scheduler`, or unset {SCHEDULER_VARIABLE}"
        raise WorkspaceError(
            SCHEDULER_VARIABLE, found=f"{address}: {error}", expected="a Dask scheduler", fix=fix
        ) from None
    with client:
        try:
            yield client
        finally:
            client.run(dismiss, station.execution)


def _ended() -> PedigreeError:
    return PedigreeError(
        "a worker process", found="its end in the middle of a piece", expected="a result",
        fix=f"look at the memory (`dmesg`) and run again with a smaller {COUNT_VARIABLE}",
    )  # fmt: skip


def _serve(descriptor: int) -> None:
    """Do pieces until the line is cut; a cut ends the process at once, whatever it is doing."""
    line: Connection = Connection(descriptor)
    sys.meta_path.insert(0, _Absent())
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    if walls := line.recv():
        confine(walls)
    tasks: SimpleQueue[tuple[Callable[..., Any], object, object]] = SimpleQueue()
    threading.Thread(target=_listen, args=(line, tasks), daemon=True).start()
    while True:
        function, shared, piece = tasks.get()
        try:
            answer = (True, function(shared, piece))
        except Exception as error:  # noqa: BLE001 - raised again by the owner
            answer = (False, error)
        line.send(answer)


class _Absent(MetaPathFinder, Loader):
    """Says of libraries that nobody here asks for that they cannot be imported, which those that try take well."""

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _UNASKED else None

    def create_module(self, spec: ModuleSpec) -> None:
        raise ModuleNotFoundError(f"a worker does without {spec.name}", name=spec.name)


def _listen(line: Connection, tasks: SimpleQueue[tuple[Callable[..., Any], object, object]]) -> None:
    while True:
        try:
            tasks.put(line.recv())
        except (EOFError, ConnectionError):
            os._exit(0)
        except Exception as error:  # noqa: BLE001 - a function that cannot be imported here, told to the owner
            tasks.put((_fail, error, None))


def _fail(error: Exception, _piece: object) -> None:
    raise error


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
