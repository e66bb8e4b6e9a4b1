"""A Prefect server of the project's own, when none is configured.

In: the environment of ``flows.environment``; Prefect is not imported yet. Out: the address of a server's API, in
``PREFECT_API_URL`` too.
In between: a configured server (``PREFECT_API_URL``) wins, then one that another command of this project runs;
otherwise a server is started with its database below ``.pedigree/prefect`` and ends with this process, however that
ends. Prefect would start one by itself, but only after importing the whole server here as well: six seconds more.
"""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from components.core.errors import PedigreeError
from components.core.files import read_json, write_json
from flows.environment import PREFECT_HOME, python_command

STARTUP_SECONDS = 180.0
URL_VARIABLE = "PREFECT_API_URL"
_NOTE = PREFECT_HOME / "server.json"
_LOG = PREFECT_HOME / "server.log"


class LocalServer:
    """A context manager that starts a server at once and lets the caller wait for it later.

    ``is_lasting`` starts the services as well (schedules, automations, the page); a short run does without. A
    ``port`` of 0 is any free one.
    """

    def __init__(self, *, is_lasting: bool = False, port: int = 0) -> None:
        self._is_lasting, self._port = is_lasting, port
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> LocalServer:
        self.url = os.environ.get(URL_VARIABLE) or _running_server()
        if not self.url:
            self.url = self._start()
        os.environ[URL_VARIABLE] = self.url  # now, because Prefect reads it when it is imported
        return self

    def wait(self) -> str:
        """Wait until the server answers; returns its address. Raises PedigreeError with the end of its log."""
        deadline = time.monotonic() + STARTUP_SECONDS
        while self._process is not None and not is_healthy(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise _did_not_start()
            time.sleep(0.05)
        if self._process is not None and self._is_lasting:
            write_json(_NOTE, {"pid": self._process.pid, "url": self.url})
        return self.url

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is None:
            return
        del os.environ[URL_VARIABLE]
        if self._is_lasting:
            _NOTE.unlink(missing_ok=True)
        # Not asked politely, which takes a second: all that it was told is in its database.
        self._process.kill()
        self._process.wait()

    def _start(self) -> str:
        port = self._port or _free_port()
        url = f"http://127.0.0.1:{port}/api"
        # Without its services the server starts faster, and nothing runs beside the stages.
        kind = {} if self._is_lasting else {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_UI_ENABLED": "0"}
        extra = {"PREFECT__SERVER_FINAL": "1", "PREFECT_SERVER_API_PORT": str(port), URL_VARIABLE: url, **kind}
        _LOG.parent.mkdir(parents=True, exist_ok=True)
        with _LOG.open("ab") as log:
            self._process = subprocess.Popen(
                python_command("flows.server", f"serve({port})"),
                env={**os.environ, **extra}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C goes to the whole terminal; this process decides when its server ends
            )  # fmt: skip
        return url


@contextmanager
def importing() -> Iterator[None]:
    """Import without looking for garbage, of which there is none: Prefect takes a sixth less time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def serve(port: int) -> None:
    """Be a Prefect server on ``port`` of this machine only, until the process that started it ends."""
    from components.core.sandbox import die_with_parent

    die_with_parent()
    import uvicorn

    with importing():
        from prefect.server.api.server import create_app
    uvicorn.run(create_app, factory=True, host="127.0.0.1", port=port, log_level="error")


def _running_server() -> str:
    """The address of a server that another command of this project runs, or nothing."""
    url = str(read_json(_NOTE)["url"]) if _NOTE.exists() else ""
    return url if url and is_healthy(url) else ""


def is_healthy(url: str) -> bool:
    """Whether a server answers at the address of its API."""
    # Not through a proxy: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _did_not_start() -> PedigreeError:
    told = _LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if _LOG.exists() else []
    fix = f"look into {_LOG}; `PREFECT_API_URL` names a server of your own"
    found = "no answer; its log ends with: " + " / ".join(told)
    return PedigreeError("the local Prefect server", found=found, expected="an answer", fix=fix)
