"""`pedigree run`: bring the chain up to date, as fast as nothing allows.

In: the names of stages (none: all). Out: an exit code; on the screen what ran, and what to try next.
In between: the plan comes first, in this process, because Prefect takes seconds to start: where nothing is to do it is
never imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from components.core.lock import hold_workspace
from flows import lockfiles
from flows.plan import Plan, make_plan


def run(targets: Sequence[str] = ()) -> int:
    """Run what ``targets`` need; returns 0 or the exit code of the stage that failed. Raises PedigreeError."""
    with hold_workspace("pedigree run"):
        for sentence in lockfiles.mend():
            print(sentence, file=sys.stderr)
        plan = make_plan(targets)
        if plan.is_empty:
            print("Nothing changed: everything is up to date.")
            return 0
        print("To do:", *plan.lines(), sep="\n", file=sys.stderr)
        state = _run_flow(plan, targets)
    if state.is_completed():
        print(state.message)
        return 0
    print(f"error: {state.message}", file=sys.stderr)
    return int(state.data)


def _run_flow(plan: Plan, targets: Sequence[str]) -> Any:
    from flows.server import LocalServer

    # The server takes longest to start, so it starts before Prefect is imported here.
    with LocalServer() as server:
        from flows.supply_chain import send_queued, supply_chain

        server.wait()
        try:
            return supply_chain(list(targets), return_state=True)
        finally:
            send_queued()
