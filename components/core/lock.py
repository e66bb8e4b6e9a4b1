"""One driver per workspace at a time.

In: the command that wants to drive. Out: the workspace, held until the block ends or the process dies.
In between: whoever else asks is told within milliseconds who holds it. The lock belongs to the kernel, so no
crash leaves it behind; processes that the holder starts are let in by a token in their environment.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.errors import WorkspaceError

STATE = Path(".pedigree")
# By this variable a stage that keeps state learns where the workspace is.
WORKSPACE_VARIABLE = "PEDIGREE_WORKSPACE"
_HOLDER_VARIABLE = "PEDIGREE_HOLDER"


@contextmanager
def hold_workspace(command: str, root: Path = Path()) -> Iterator[None]:
    """Hold the workspace at ``root`` while the block runs. Raises WorkspaceError naming the holder.

    A process that starts a fork server must start it before: a forked copy would inherit the lock.
    """
    path = root / STATE / "workspace.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        if not _acquire(file.fileno()):
            if _is_ours(path):
                yield
                return
            raise _held_by(holder(root))
        if _HOLDER_VARIABLE in os.environ:
            raise _driver_is_gone()
        _write_holder(path, command)
        os.environ[_HOLDER_VARIABLE] = str(os.getpid())
        try:
            yield
        finally:
            del os.environ[_HOLDER_VARIABLE]
            path.write_text("")


def holder(root: Path = Path()) -> dict[str, Any] | None:
    """Who holds the workspace (``pid``, ``command``), or None when nobody does."""
    path = root / STATE / "workspace.lock"
    if not path.exists():
        return None
    with path.open("a+", encoding="utf-8") as file:
        if _acquire(file.fileno()):
            return None
    text = path.read_text(encoding="utf-8")
    return dict(json.loads(text)) if text else {"pid": 0, "command": "another process"}


def _acquire(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_ours(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return bool(text) and str(json.loads(text)["pid"]) == os.environ.get(_HOLDER_VARIABLE)


def _write_holder(path: Path, command: str) -> None:
    path.write_text(json.dumps({"pid": os.getpid(), "command": command}), encoding="utf-8")


def _driver_is_gone() -> WorkspaceError:
    """A stage that a killed driver had just started must not hold up the next driver."""
    return WorkspaceError(
        "this workspace",
        found="let go by the driver that started this process: it was killed",
        expected="a driver that waits for its stages",
        fix="run again: it goes on from here",
    )


def _held_by(other: dict[str, Any] | None) -> WorkspaceError:
    other = other or {"pid": "?", "command": "another process"}
    return WorkspaceError(
        "this workspace",
        found=f"held by `{other['command']}` (process {other['pid']})",
        expected="one driver at a time",
        fix=f"wait until it ends, or stop it with `kill {other['pid']}`",
    )
