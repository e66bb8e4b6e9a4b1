"""The outer process of a stage: prepares a scratch folder, starts the inner process, gives its output a final name.

In: a stage, the paths of its inputs and of its output. Out: the output folder, whole, or a PedigreeError.
In between: the inner process (``components.core.child``) sees a fixed environment and only declared paths; it
dies with this one, and this one with the driver that started it. Nothing done here can change an artifact.
"""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.core import errors, files, params
from components.core.attempts import IDENTITY, open_attempt, unfinished
from components.core.child import Job
from components.core.crew import Crew
from components.core.errors import PedigreeError, WorkspaceError
from components.core.fingerprints import Fingerprint, Sources
from components.core.lock import STATE, WORKSPACE_VARIABLE, hold_workspace
from components.core.records import artifact_digest, artifacts_of, execution_digest
from components.core.stage import Config, Live, LiveRun, Stage

CODE_ROOT = Path(__file__).resolve().parents[2]
_SECONDS_BETWEEN_LOOKS = 0.5
_SCRAPS, _SECONDS_OF_A_SCRAP = "*.tmp.*", 600
_MOST_DIFFERENCES = 5
Observer = Callable[[str, Mapping[str, Any]], LiveRun]


@dataclass(frozen=True)
class Order:
    """One stage to run: where its inputs are and where its output shall be (None for a stage without files)."""

    stage: Stage
    room: str
    inputs: dict[str, Path]
    output: Path | None
    params_file: Path = params.PARAMS

    def config(self) -> Config:
        """The stage's section of the params file. Raises ParamsError."""
        return params.section(params.load(self.params_file), self.stage, self.params_file)


def execute(order: Order, observe: Observer | None = None) -> None:
    """Run a stage. Raises PedigreeError.

    ``observe(execution, params)`` opens a LiveRun that is told the stage's numbers while it runs, and then how
    it ended. The workspace is held for as long as the stage runs.
    """
    _follow_driver()
    with hold_workspace(f"stage {order.stage.name}"):
        config = order.config()
        with _scratch(order.stage.name) as scratch, _disk_faults_told(order.stage.name):
            job = _prepare(order, config, scratch)
            _run_inner(order, job, scratch, observe)
            if order.output is not None:
                files.move_whole(Path(job.output), order.output)
            if job.attempt:
                files.remove(Path(job.attempt))


def is_current(order: Order) -> bool:
    """Whether the world outside already is as the stage would leave it; False for stages that only make files."""
    look, output = order.stage.is_current, {"output": order.output} if order.output else {}
    has_inputs = all(path.exists() for path in order.inputs.values())
    return look is not None and has_inputs and look(order.config(), **order.inputs, **output)


def _prepare(order: Order, config: Config, scratch: Path) -> Job:
    stage, section = order.stage, config.model_dump(mode="json")
    crew = Crew.here() if stage.is_parallel else Crew()
    sources = Sources(CODE_ROOT)
    fingerprint = sources.fingerprint(order.room)
    digests = {name: artifact_digest(path) for name, path in artifacts_of(order.inputs).items()}
    stage.fetch(config, **order.inputs)
    for name in ("code", "home", "tmp", "output", "work"):
        (scratch / name).mkdir()
    (scratch / "code" / "components").symlink_to(CODE_ROOT / "components")
    kernels = _folder_of_kernels(order.room, fingerprint.digest)
    for folder in (*stage.state, kernels):
        folder.mkdir(parents=True, exist_ok=True)
    _borrow_kernels(kernels, scratch, sources, fingerprint)
    job = Job(
        stage=stage.name, room=order.room, params=section, fingerprint=fingerprint.digest,
        modules=list(fingerprint.modules),
        execution=execution_digest(stage.name, fingerprint.digest, section, digests),
        inputs={name: str(path.resolve()) for name, path in order.inputs.items()}, digests=digests,
        output=str(scratch / "output") if order.output else "", live=str(scratch / "live.jsonl"),
        result=str(scratch / "result.json"), readable=list(_readable(order, config, fingerprint)),
        writable=[str(scratch), str(kernels), *(str(folder.resolve()) for folder in stage.state)], kernels=str(kernels),
        listable=[str(CODE_ROOT / "components")], network=_may_connect(stage, crew),
        workers=crew.count, scheduler=crew.scheduler,
    )  # fmt: skip
    if stage.is_resumable:
        job = _with_attempt(job)
    files.write_json(scratch / "job.json", vars(job))
    return job


def _may_connect(stage: Stage, crew: Crew) -> bool:
    return stage.network or bool(crew.scheduler) or any(os.environ.get(name) for name in stage.networked_by)


def _folder_of_kernels(room: str, fingerprint: str) -> Path:
    """Where the machine code of a room's compiled loops is kept; that of earlier code, or half-written, is removed."""
    folder = (STATE / "kernels" / _name_of_kernels(room, fingerprint)).resolve()
    for other in folder.parent.glob(f"{room}-*"):
        if other != folder:
            files.remove(other)
    for scrap in folder.rglob(_SCRAPS):
        with suppress(FileNotFoundError):  # a young one may be another stage's right now
            if time.time() - scrap.stat().st_mtime > _SECONDS_OF_A_SCRAP:
                scrap.unlink()
    return folder


def _name_of_kernels(room: str, fingerprint: str) -> str:
    return f"{room}-{fingerprint[:32]}"


def _borrow_kernels(folder: Path, scratch: Path, sources: Sources, fingerprint: Fingerprint) -> None:
    """Copy the machine code of modules that another room has compiled already, if that is of the present code too."""
    for kept in sorted(folder.parent.glob("*/components-*")):
        room, is_ours = kept.parent.name.rpartition("-")[0], kept.name.replace("-", ".") in fingerprint.modules
        if not is_ours or (folder / kept.name).exists() or not sources.path(f"components.{room}"):
            continue
        if kept.parent.name == _name_of_kernels(room, sources.fingerprint(room).digest):
            with suppress(OSError):  # another stage of the room was faster, or what it copies is being removed
                shutil.copytree(kept, scratch / kept.name, ignore=shutil.ignore_patterns(_SCRAPS))
                (scratch / kept.name).rename(folder / kept.name)


def _with_attempt(job: Job) -> Job:
    """The job with its folder for checkpoints; what else was left unfinished is told."""
    folder = open_attempt(job.stage, job.execution, job.identity).resolve()
    if not any(path for path in folder.iterdir() if path.name != IDENTITY):
        for other, found in unfinished(folder):
            told = f"{job.stage}: starts anew; unfinished work of other values stays in {os.path.relpath(other)}"
            print(f"{told} ({'; '.join(found[:_MOST_DIFFERENCES])})", file=sys.stderr)
    return replace(job, attempt=str(folder), writable=[*job.writable, str(folder)])


def _readable(order: Order, config: Config, fingerprint: Fingerprint) -> Iterator[str]:
    """Declared inputs, what they name, and exactly the code of the fingerprint."""
    yield from (str(path.resolve()) for path in order.inputs.values())
    yield from (str(path.resolve()) for path in order.stage.reads(config, **order.inputs))
    sources = Sources(CODE_ROOT)
    yield from (str(path) for name in fingerprint.modules if (path := sources.path(name)))
    yield from (str(CODE_ROOT / name) for name in fingerprint.resources)


def _run_inner(order: Order, job: Job, scratch: Path, observe: Observer | None) -> None:
    from components.core.sandbox import environment

    passed = {name: os.environ[name] for name in order.stage.environment if name in os.environ}
    passed[WORKSPACE_VARIABLE] = str(Path.cwd())  # the inner process works in its scratch folder
    command = [sys.executable, "-P", "-m", "components.core.child", str(scratch / "job.json")]
    with _observed(job, order.stage, observe):
        inner = subprocess.Popen(
            command, cwd=scratch / "work", env=environment(scratch, Path(job.kernels), passed), stdin=subprocess.DEVNULL
        )
        if code := _wait(inner):
            raise _explain(order, job, code)


def _wait(inner: subprocess.Popen[bytes]) -> int:
    """Wait for the inner process; a signal to this one is passed on and ends both."""

    def pass_on(number: int, _frame: object) -> None:
        inner.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return inner.wait()
    finally:
        inner.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _explain(order: Order, job: Job, code: int) -> PedigreeError:
    result = Path(job.result)
    if result.exists():
        told = files.read_json(result)
        kind: type[PedigreeError] = getattr(errors, told.pop("kind"))
        return _enrich(order, kind(**told), Path(job.output) if job.output else None)
    if code < 0:
        name = signal.Signals(-code).name
        if order.stage.is_resumable and name in ("SIGTERM", "SIGINT"):
            where, fix = f"stage {order.stage.name}", "run again: it goes on from its last checkpoint"
            return errors.Interrupted(where, found=f"ended by {name}", expected="time to finish", fix=fix)
        fix = "run again: nothing half-done was left; after SIGKILL look at the memory (`dmesg`)"
        where = f"stage {order.stage.name}"
        return PedigreeError(where, found=f"ended by {name}", expected="an end of its own", fix=fix)
    return PedigreeError(
        f"stage {order.stage.name}", found="a fault in its code (the traceback above)", expected="a finished stage",
        fix="report it with the traceback and params.yaml",
    )  # fmt: skip


def _enrich(order: Order, error: PedigreeError, output: Path | None) -> PedigreeError:
    if isinstance(error, errors.SandboxError):
        error.fix = _how_to_declare(order, error.found)
    if isinstance(error, errors.GateError) and output is not None and any(output.iterdir()):
        kept = STATE / "failed" / order.stage.name
        files.move_whole(output, kept)
        error.fix += f"\n  look at:  {kept}/page.html" if (kept / "page.html").exists() else f"\n  look at:  {kept}"
    return error


def _how_to_declare(order: Order, found: str) -> str:
    path = found.removeprefix("an attempt to use ")
    if not path.startswith("/"):
        return f"do it in a stage that declares network=True, not in components/{order.room}"
    if Path(path).is_relative_to(CODE_ROOT / "components"):
        return f"import it by a statement in components/{order.room}, so that the fingerprint sees it"
    with suppress(ValueError):
        path = str(Path(path).relative_to(Path.cwd()))
    line = _line_of_stage(order.stage.name)
    where = f"dvc.yaml, line {line} (stage {order.stage.name})" if line else f"dvc.yaml, stage {order.stage.name}"
    return f"declare it in {where}: add `--NAME {path}` to cmd and `{path}` to deps"


def _line_of_stage(name: str) -> int | None:
    """The line of dvc.yaml where the stage's block begins, counted from one."""
    path, key = Path("dvc.yaml"), f"  {name.partition('@')[0]}:"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((number for number, line in enumerate(lines, start=1) if line.startswith(key)), None)


@contextmanager
def _observed(job: Job, stage: Stage, observe: Observer | None) -> Iterator[None]:
    """While the block runs, hand every line of the live file to the observer."""
    if observe is None or not stage.is_live:
        yield
        return
    live, done = observe(job.execution, job.params), threading.Event()
    thread = threading.Thread(target=_follow, args=(Path(job.live), live, done), daemon=True)
    thread.start()
    succeeded = False
    try:
        yield
        succeeded = True
    finally:
        done.set()
        thread.join()
        live.close(succeeded=succeeded)


def _follow(path: Path, live: Live, done: threading.Event) -> None:
    position, is_last = 0, False
    while not is_last:
        is_last = done.wait(_SECONDS_BETWEEN_LOOKS)
        if not path.exists():
            continue
        with path.open("rb") as file:
            file.seek(position)
            block = file.read()
        whole = block[: block.rfind(b"\n") + 1]
        position += len(whole)
        for line in whole.splitlines():
            values = json.loads(line)
            live(values.pop("step"), values)


@contextmanager
def _scratch(name: str) -> Iterator[Path]:
    """An empty folder for one stage, on the disk of the final name; what a killed run left there goes first."""
    folder = (STATE / "scratch" / name).resolve()
    files.remove(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        files.remove(folder)


@contextmanager
def _disk_faults_told(name: str) -> Iterator[None]:
    """What the disk refuses this process, told without a traceback."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        full = "free some space (`dvc gc -w` removes results that nothing refers to) and run again"
        raise WorkspaceError(
            f"stage {name}",
            found="no space left on the disk" if is_full else f"{error.strerror}: {error.filename}",
            expected="a folder that can be written, with room for the output",
            fix=full if is_full else "mend that path or its permissions and run again",
        ) from None


def _follow_driver() -> None:
    """End this process, and with it the inner one, when the driver that started it is gone.

    DVC runs a command through a shell and leaves it running when DVC itself is killed; the orphan would
    write beside the next run. So when DVC drives, its process is watched too.
    """
    if "DVC_ROOT" not in os.environ or not hasattr(os, "pidfd_open"):
        return
    parents = [os.getppid(), _parent_of(os.getppid())]
    watched = []
    for pid in parents:
        if pid > 1:
            with suppress(OSError):
                watched.append(os.pidfd_open(pid))
    if watched:
        threading.Thread(target=_end_with, args=(watched,), daemon=True).start()


def _end_with(watched: list[int]) -> None:
    select.select(watched, [], [])
    os.kill(os.getpid(), signal.SIGKILL)


def _parent_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
