"""`pedigree batch`: go on with every prompt of a Parquet table, or answer every row of one.

In: two addresses and how to write. Out: an exit code, and the table. In between: the work is a Prefect flow, see
``flows.batch_flow``; this module imports Prefect only once its server starts.
"""

from __future__ import annotations

import sys
from typing import Any

from components.core import params
from components.serve.batch import BatchOptions
from flows.server import LocalServer, importing


def run_batch(source: str, target: str, *, which: str, column: str, application: str, options: dict[str, Any]) -> int:
    """Do it, with a Prefect server of our own where there is none; returns 0. Raises PedigreeError."""
    parsed = params.parse(options, BatchOptions, "the command line")
    # The server takes longest to start, so it starts before Prefect is imported here.
    with LocalServer() as server:
        with importing():
            from flows.batch_flow import batch
            from flows.supply_chain import send_queued
        server.wait()
        try:
            told = batch(source, target, which, column, application, parsed)
        finally:
            send_queued()
    print(f"{told}: {target}", file=sys.stderr)
    return 0
