"""The surroundings of every command: quiet, offline, and with all its files inside the project.

In: the project's folder. Out: environment variables, set before DVC or Prefect is imported, and, in a folder that is
no git checkout, a line in `.dvc/config.local`. In between: a variable that the user has set wins, except where
the two drivers must agree.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from components.core.errors import WorkspaceError
from components.core.lock import STATE

CODE_ROOT = Path(__file__).resolve().parents[1]
PREFECT_HOME = STATE / "prefect"
HEARTBEAT_SECONDS = 30

_QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONUNBUFFERED": "1",
    "PREFECT_CLI_PROMPT": "false",
    # Never a second server by accident: ``flows.server`` decides which one there is.
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    # Only the console: PREFECT_LOGGING_LEVEL would drop the server's copy of the logs too. Errors of a stage are
    # told in its own words, so Prefect's traceback of them stays off the screen.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
}


def prepare(root: Path | None = None) -> None:
    """Make the surroundings of ``root`` (the current folder) ready. Raises WorkspaceError when it is no project."""
    folder = (root or Path()).resolve()
    _require_project(folder)
    for name, value in {**_QUIET, **_homes(folder)}.items():
        os.environ.setdefault(name, value)
    # A local server is never behind a proxy.
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"]))
    # Stage commands say `python` and run under $SHELL; both drivers must mean the same ones.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    os.environ["SHELL"] = "/bin/sh"
    _tell_dvc_about_git(folder)


def _homes(folder: Path) -> dict[str, str]:
    return {
        "DVC_SITE_CACHE_DIR": str(folder / STATE / "dvc"),
        "PREFECT_HOME": str(folder / PREFECT_HOME),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / PREFECT_HOME / "ui"),
    }


def _require_project(folder: Path) -> None:
    for name in ("dvc.yaml", ".dvc/config"):
        if not (folder / name).exists():
            fix = "`cd` to the folder that holds dvc.yaml and .dvc, or clone the project again"
            raise WorkspaceError(str(folder), found=f"no {name}", expected="the project's top folder", fix=fix)


def _tell_dvc_about_git(folder: Path) -> None:
    """DVC refuses to work outside a git checkout unless its configuration says that there is none."""
    is_checkout = any((parent / ".git").exists() for parent in (folder, *folder.parents))
    local = folder / ".dvc" / "config.local"
    is_told = local.exists() and "no_scm" in local.read_text(encoding="utf-8")
    if is_checkout == is_told:
        _write_no_scm(folder / ".dvc", not is_checkout)


def _write_no_scm(dvc: Path, value: bool) -> None:
    from dvc.config import Config, ConfigError

    try:
        with Config(str(dvc)).edit("local") as values:
            core = values.setdefault("core", {})
            core.pop("no_scm", None)
            core.update({"no_scm": True} if value else {})
    except ConfigError as error:
        fix = "mend that line; `dvc config --help` lists what may stand there"
        raise WorkspaceError(f"{dvc}/config", found=str(error), expected="what DVC can read", fix=fix) from None


def python_command(module: str, call: str) -> list[str]:
    """The command of a fresh interpreter that imports a module of this code and calls a function of it.

    By path and not by ``-m``: the code may stand elsewhere than the project that it drives.
    """
    program = f"import sys; sys.path.insert(0, {str(CODE_ROOT)!r}); import {module}; {module}.{call}"
    return [sys.executable, "-c", program]
