"""`pedigree run` and `pedigree plan`: bring the chain up to date, or say what that would take.

In: the names of stages (none: all). Out: an exit code; on the screen what ran, and what to try next.
In between: the plan comes first, in this process, because Prefect takes seconds to start: where nothing is to do it is
never imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from components.core import params
from components.core.lock import hold_workspace
from flows import lockfiles
from flows.plan import Plan, make_plan

_NEXT = """\
What to try next:
  pedigree generate "The mean of"      let the model go on with a text
  edit params.yaml, `pedigree plan`    see what a change would run again, and why
  pedigree ui                          models, metrics and versions side by side"""


def run(targets: Sequence[str] = ()) -> int:
    """Run what ``targets`` need; returns 0 or the exit code of the stage that failed. Raises PedigreeError."""
    with hold_workspace("pedigree run"):
        plan = _prepare(targets)
        if plan.is_empty:
            print("Nothing changed: everything is up to date.")
            return 0
        print("To do:", *plan.lines(), sep="\n", file=sys.stderr)
        code, message = _run_flow(targets)
    print(f"error: {message}" if code else f"\n{message}.", file=sys.stderr)
    if not code and not targets:
        _show_result()
    return code


def show_plan(targets: Sequence[str] = ()) -> int:
    """Print what would run, and why; returns 0. Raises PedigreeError."""
    with hold_workspace("pedigree plan"):
        plan = _prepare(targets)
    if plan.is_empty:
        print("Nothing changed: everything is up to date.")
    else:
        print("Would run:", *plan.lines(), sep="\n")
    return 0


def _prepare(targets: Sequence[str]) -> Plan:
    if params.PARAMS.exists():
        params.load()  # told before DVC tells it, whose words for a slip in YAML are harder to read
    for sentence in lockfiles.mend():
        print(sentence, file=sys.stderr)
    return make_plan(targets)


def _run_flow(targets: Sequence[str]) -> tuple[int, str]:
    from flows.server import LocalServer, importing

    # The server takes longest to start, so it starts before Prefect is imported here.
    with LocalServer() as server:
        with importing():
            from flows.supply_chain import outcome, send_queued, supply_chain
        server.wait()
        try:
            return outcome(supply_chain(list(targets), return_state=True))
        finally:
            send_queued()


def _show_result() -> None:
    if params.PARAMS.exists() and "register" in params.load():
        from flows.generate import champion_sample

        print(*champion_sample(), _NEXT, sep="\n")
