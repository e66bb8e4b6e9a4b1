"""The inner process of a stage: confines itself, checks the inputs, does the work, writes the record.

In: a job file that ``components.core.execute`` wrote. Out: the output folder with its report and record, and a
result file that says how it went. In between: only what the job names can be read. This module is part of every
stage's fingerprint, because everything that it does can change an artifact.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core import errors
from components.core.crew import Crew, Station
from components.core.errors import InputError, PedigreeError, StageError
from components.core.files import write_json
from components.core.params import parse
from components.core.records import REPORT, Record, artifacts_of, describe_files, verify_input
from components.core.sandbox import Walls, confine, die_with_parent, refused_connection, undeclared_path
from components.core.stage import ATTEMPT, CREW, KEY, LIVE, OUTPUT, Attempt, Stage


@dataclass(frozen=True)
class Job:
    """What an inner process is told: which stage, with which values and paths, behind which walls."""

    stage: str
    room: str
    params: dict[str, Any]
    fingerprint: str
    modules: list[str]
    execution: str
    inputs: dict[str, str]
    digests: dict[str, str]
    output: str
    live: str
    result: str
    readable: list[str]
    writable: list[str]
    listable: list[str]
    network: bool
    workers: int
    scheduler: str
    kernels: str
    attempt: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """Which work this is, in words: what ``execution`` is the digest of."""
        return {"stage": self.stage, "code": self.fingerprint, "params": self.params, "inputs": self.digests}

    @property
    def walls(self) -> Walls:
        """The paths as the sandbox takes them."""
        readable, writable, listable = (tuple(map(Path, p)) for p in (self.readable, self.writable, self.listable))
        return Walls(readable, writable, listable, self.network)


def find_stage(room: str, name: str) -> Stage:
    """The stage ``name`` that the package ``components.<room>`` exports."""
    package = importlib.import_module(f"components.{room}")
    stages: Mapping[str, Stage] = getattr(package, "STAGES", None) or {package.STAGE.name: package.STAGE}
    base, at, key = name.partition("@")
    return stages[name] if name in stages else stages[base + at].of(key)


def main(job_file: str) -> int:
    """Run the job of ``job_file``; the exit code is that of ``components.core.errors``."""
    die_with_parent()
    job = Job(**json.loads(Path(job_file).read_bytes()))
    confine(job.walls)
    try:
        _perform(job)
    except PedigreeError as error:
        return _tell(job, error)
    except Exception as error:  # noqa: BLE001 - told as an undeclared read or as a traceback, never swallowed
        what = undeclared_path(error, job.walls) or refused_connection(error, job.walls)
        if what is None and isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return _tell(job, _no_space(job))
        if what is None:
            traceback.print_exc()
            return 1
        return _tell(job, _undeclared(job, str(what)))
    return 0


def _perform(job: Job) -> None:
    stage = find_stage(job.room, job.stage)
    _check_inputs(job)
    config = parse(job.params, stage.config, f"params.yaml, {stage.section}")
    paths = {name: Path(path) for name, path in job.inputs.items()}
    keywords: dict[str, Any] = dict(paths)
    if job.output:
        keywords[OUTPUT] = Path(job.output)
    if stage.is_live:
        keywords[LIVE] = _live_writer(Path(job.live))
    if stage.is_parallel:
        keywords[CREW] = _crew(job)
    if stage.is_resumable:
        keywords[ATTEMPT] = Attempt(Path(job.attempt), job.identity)
    if stage.is_keyed:
        keywords[KEY] = stage.key
    report = stage.function(config, **keywords)
    if report.books is not None:
        report.books.check(stage.name)
    _check_modules(job)
    if job.output:
        _finish(job, report.as_json())


def _crew(job: Job) -> Crew:
    station = Station(job.walls, dict(os.environ), job.room, job.fingerprint, job.execution)
    return Crew(job.workers, job.scheduler, station)


def _check_inputs(job: Job) -> None:
    for name, path in artifacts_of({name: Path(path) for name, path in job.inputs.items()}).items():
        found, expected = verify_input(path), job.digests.get(name, "no such artifact")
        if found != expected:
            raise InputError(str(path), found=f"digest {found}", expected=expected, fix="run the stage again")


def _check_modules(job: Job) -> None:
    loaded = {name for name in sys.modules if name.partition(".")[0] in ("components", "flows")}
    if unknown := sorted(loaded - set(job.modules) - {"__main__"}):
        raise StageError(
            f"stage {job.stage}",
            found=f"module {unknown[0]} loaded at run time",
            expected="only modules that an import statement names, as its fingerprint sees them",
            fix=f"import {unknown[0]} by a statement in components/{job.room}",
        )


def _finish(job: Job, report: dict[str, Any]) -> None:
    output = Path(job.output)
    write_json(output / REPORT, report)
    record = Record(stage=job.stage, execution=job.execution, fingerprint=job.fingerprint, params=job.params,
                    inputs=job.digests, files=describe_files(output))  # fmt: skip
    record.save(output)


def _live_writer(path: Path) -> Any:
    def live(step: int, values: Mapping[str, float], /) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    return live


def _no_space(job: Job) -> errors.WorkspaceError:
    fix = "free some space (`dvc gc -w` removes results that nothing refers to) and run again"
    found, expected = "no space left on the disk", "room for the output"
    return errors.WorkspaceError(f"stage {job.stage}", found=found, expected=expected, fix=fix)


def _undeclared(job: Job, what: str) -> errors.SandboxError:
    return errors.SandboxError(
        f"stage {job.stage}",
        found=f"an attempt to use {what}",
        expected="only its declared inputs, the interpreter and the installed libraries",
        fix="",
    )


def _tell(job: Job, error: PedigreeError) -> int:
    told = {"kind": type(error).__name__, "where": error.where, "found": error.found,
            "expected": error.expected, "fix": error.fix}  # fmt: skip
    write_json(Path(job.result), told)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
