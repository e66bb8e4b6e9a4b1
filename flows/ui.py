"""`pedigree ui`: the pages of MLflow (models) or of Prefect (runs), on this machine only.

In: which pages, a port. Out: pages in a browser, until interrupted. In between: nobody is phoned.
"""

from __future__ import annotations

import signal
import subprocess

from components.core.errors import PedigreeError
from flows.server import LocalServer

MODELS, RUNS = "models", "runs"


def serve_pages(which: str, port: int) -> int:
    """Serve until interrupted; returns 0. Raises PedigreeError."""
    return _serve_models(port) if which == MODELS else _serve_runs(port)


def _serve_models(port: int) -> int:
    from components.registry import ui_command

    print(f"Models, metrics and versions: http://127.0.0.1:{port}/?workflowType=machine_learning (Ctrl-C ends it)")
    try:
        code = subprocess.run(ui_command(port), check=False).returncode
    except KeyboardInterrupt:
        return 0
    if code:
        raise PedigreeError("MLflow", found=f"exit code {code}", expected="its pages", fix="try another --port")
    return 0


def _serve_runs(port: int) -> int:
    with LocalServer(is_lasting=True, port=port) as server:
        print(f"Runs, logs and reports: {server.url.removesuffix('/api')} (Ctrl-C ends it)", flush=True)
        server.wait()
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0
