"""Runs stages of the graph, several at a time, each in processes of its own that never outlive this one.

In: a stage's name, its time limit and a function that takes its lines of output. Out: "ran", "restored" (DVC had the
result) or "unchanged". In between: at most ``PEDIGREE_JOBS`` stages run at once; after ``stop`` none starts and those
that run are ended with everything they started.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from components.core.errors import PedigreeError
from flows.environment import python_command
from flows.reproducer import wait_for_guards

DEFAULT_JOBS = 3
_ANSWER_BYTES = 4096


class StageFailed(PedigreeError):
    """A stage ended with an error, ran out of time or was stopped; the exit code is the stage's own."""

    def __init__(self, stage: str, *, found: str, expected: str, fix: str, exit_code: int = 1) -> None:
        super().__init__(f"stage {stage}", found=found, expected=expected, fix=fix)
        self.exit_code = exit_code


class Reproducer:
    """The driver's end of ``flows.reproducer``; a context manager, safe to use from several threads."""

    def __init__(self, jobs: int | None = None) -> None:
        self._places = threading.BoundedSemaphore(jobs or int(os.environ.get("PEDIGREE_JOBS", DEFAULT_JOBS)))
        self._lock = threading.Lock()
        self._lifelines: set[socket.socket] = set()
        self._is_stopping = False

    def __enter__(self) -> Reproducer:
        wait_for_guards()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = python_command("flows.reproducer", "serve()")
        with theirs:
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), start_new_session=True)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()
        self._requests.close()
        self._process.wait()
        wait_for_guards()

    def stop(self) -> None:
        """Start no further stage and end those that run."""
        with self._lock:
            self._is_stopping = True
            for lifeline in self._lifelines:
                with suppress(OSError):
                    lifeline.shutdown(socket.SHUT_WR)

    def run(self, stage: str, timeout_seconds: float, emit: Callable[[str], None]) -> str:
        """Reproduce one stage; returns "ran", "restored" or "unchanged". Raises StageFailed."""
        with self._places:
            lifeline, output = self._start(stage, timeout_seconds)
            with lifeline, os.fdopen(output, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    emit(line.rstrip())
                answer = self._answer(lifeline)
        if answer["how"] in ("ran", "restored", "unchanged"):
            return str(answer["how"])
        raise self._explain(stage, answer, timeout_seconds)

    def _start(self, stage: str, timeout_seconds: float) -> tuple[socket.socket, int]:
        lifeline, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read_end, write_end = os.pipe()
        request = json.dumps({"stage": stage, "timeout_seconds": timeout_seconds}).encode()
        try:
            with theirs, self._lock:
                if self._is_stopping:
                    raise _stopped(stage)
                socket.send_fds(self._requests, [request], [theirs.fileno(), write_end])
                self._lifelines.add(lifeline)
        except BaseException:
            lifeline.close()
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return lifeline, read_end

    def _answer(self, lifeline: socket.socket) -> dict[str, str | int]:
        message = b""
        with suppress(ConnectionError):
            message = lifeline.recv(_ANSWER_BYTES)
        with self._lock:
            self._lifelines.discard(lifeline)
        return dict(json.loads(message)) if message else {"how": "killed", "exit_code": 1}

    def _explain(self, stage: str, answer: dict[str, str | int], timeout_seconds: float) -> StageFailed:
        if self._is_stopping:
            return _stopped(stage)
        if answer["how"] == "timeout":
            return StageFailed(
                stage, found=f"still running after {timeout_seconds:g} seconds", expected="done by then",
                fix="raise meta.timeout_seconds of the stage in dvc.yaml, or give it less to do",
            )  # fmt: skip
        if answer["how"] == "killed":
            fix = "look at the memory (`dmesg`), then `pedigree run` goes on from here"
            return StageFailed(stage, found="its processes were killed", expected="an answer", fix=fix)
        fix = "mend what the stage says above, then `pedigree run` goes on from here"
        code = int(answer["exit_code"])
        return StageFailed(stage, found=f"exit code {code}", expected="a finished stage", fix=fix, exit_code=code)


def _stopped(stage: str) -> StageFailed:
    fix = "`pedigree run` goes on from here"
    return StageFailed(stage, found="the driver was stopped", expected="time to finish", fix=fix, exit_code=130)
