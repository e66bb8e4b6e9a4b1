"""A warm process that reproduces one DVC stage at a time in a fork of its own, as `dvc repro --single-item` would.

In: requests on a socket, each with two descriptors: a control socket and a pipe for what the stage prints.
Out: on the control socket one JSON object: ``how`` ("ran", "restored", "unchanged" or "failed") and ``exit_code``.
In between: for each request there is a guard, which leads a session of its own, and below it DVC and the stage.

- DVC costs a second to import and a tenth of it to fork: that is why this process exists.
- The far end of the control socket is a lifeline. When it closes (the driver stopped the stage, or is gone, even by
  SIGKILL), or when the time is up, the guard ends everything below itself, then itself.
- Each guard shares a lock while it lives, so that the next driver can wait for the stages of a killed one.
- The process is started anew, not forked, so it holds no lock and no thread of its parent.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import logging
import os
import re
import select
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from components.core.lock import STATE

_AT_WORK = STATE / "stages.lock"
GRACE_SECONDS = 10.0
_MESSAGE_BYTES = 65536
_PR_SET_CHILD_SUBREAPER = 36


def serve() -> None:
    """Answer requests on standard input, a socket, until its other end is closed."""
    requests = socket.socket(fileno=0)
    _warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries finished guards
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, 2)
        if not message:
            return
        if os.fork() == 0:
            _guard(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _warm_up() -> None:
    """Import what a reproduction needs; opening the repository once imports what DVC imports late."""
    from dvc.repo import Repo

    with suppress(Exception), Repo() as repo:
        list(repo.index.graph)


def _guard(request: dict[str, Any], control: int, output: int) -> NoReturn:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    fcntl.flock(_open_lock(), fcntl.LOCK_SH)
    _adopt_orphans()
    _redirect(output)
    alive, end = os.pipe()
    if os.fork() == 0:
        os.close(alive)
        _reproduce(request["stage"], control)
    os.close(end)
    # Ready when DVC has ended, when the driver let go, or never within the time.
    ready, _, _ = select.select([alive, control], [], [], request["timeout_seconds"])
    if not ready:
        _answer(control, "timeout", 1)
    _end_everything_below()
    os._exit(0)


def wait_for_guards() -> None:
    """Wait until no stage of this workspace is left, of this driver or of a killed one."""
    descriptor = _open_lock()
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)


def _open_lock() -> int:
    _AT_WORK.parent.mkdir(parents=True, exist_ok=True)
    return os.open(_AT_WORK, os.O_RDWR | os.O_CREAT)


def _redirect(output: int) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _adopt_orphans() -> None:
    """Let processes whose parent ended become children of this one, so that none escapes (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_everything_below() -> None:
    """Ask the whole session to end, wait, then force it."""
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while _has_children() and time.monotonic() < deadline:
        time.sleep(0.02)
    while _has_children():
        _kill_children()
        time.sleep(0.02)


def _has_children() -> bool:
    """Bury children that ended; whether others are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _kill_children() -> None:
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _reproduce(stage: str, control: int) -> NoReturn:
    """DVC's part, in the child of the guard."""
    # A request to end is for the stage: DVC then sees it end, releases its locks and says so.
    signal.signal(signal.SIGTERM, lambda *_: None)
    sys.argv = ["dvc", "repro", "--single-item", stage]  # what DVC's own locks will say of this process
    try:
        _answer(control, *_run_dvc(stage))
    except Exception:  # noqa: BLE001 - the top of a process: told in full, and the answer says that it failed
        traceback.print_exc()
        _answer(control, "failed", 1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _run_dvc(stage: str) -> tuple[str, int]:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    ear = _Ear()
    logging.getLogger("dvc").handlers = [ear]
    try:
        with Repo(_wait_for_lock=True) as repo:
            changed = repo.reproduce(stage, single_item=True)
    except DvcException as error:
        return "failed", _explain(error)
    return ("unchanged" if not changed else "ran" if ear.heard_a_run else "restored"), 0


class _Ear(logging.Handler):
    """Listens to DVC: remembers whether it ran a command, passes on warnings."""

    heard_a_run = False

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Running stage"):
            self.heard_a_run = True
        if record.levelno >= logging.WARNING:
            print(record.getMessage(), file=sys.stderr, flush=True)


def _explain(error: BaseException) -> int:
    """The exit code of the stage's command when it was the command that failed, else DVC's reason on the screen."""
    reason = error.__cause__ or error
    command_ended = re.search(r"^failed to run: .*, exited with (-?\d+)$", str(reason), flags=re.DOTALL)
    if command_ended:
        code = int(command_ended[1])
        return code if code >= 0 else 128 - code  # ended by a signal: as a shell counts it
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return 1


def _answer(control: int, how: str, exit_code: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(control)) as connection:
        connection.send(json.dumps({"how": how, "exit_code": exit_code}).encode())
