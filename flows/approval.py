"""A pause in Prefect that a person ends on its pages: the answer to a proposed promotion.

In: the verdict in lines. Out: whether the person agreed. In between: a flow that is paused and shows the verdict; it
is resumed with a form on the page of the run (`pedigree ui runs`, or one's own Prefect server). Nobody there for a
day is a no. Who answers on the command line meanwhile ends the pause too: a note says which run waits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from components.core.files import read_json, write_json
from flows.environment import PREFECT_HOME
from flows.server import URL_VARIABLE, LocalServer, is_healthy

SECONDS_TO_ANSWER = 24 * 3600
_SECONDS_BETWEEN_LOOKS = 2
_NOTE = PREFECT_HOME / "approval.json"


def ask(lines: Sequence[str], seconds: int = SECONDS_TO_ANSWER) -> bool:
    """Pause until a person has answered, or so many seconds; returns the answer."""
    with LocalServer(is_lasting=True) as server:
        print(
            f"waiting for a person: {server.url.removesuffix('/api')}/runs, Resume (or `pedigree promote --approve`)",
            flush=True,
        )
        server.wait()
        from prefect import flow, get_run_logger
        from prefect.exceptions import FlowPauseTimeout
        from prefect.flow_runs import pause_flow_run
        from prefect.input import RunInput
        from prefect.runtime import flow_run

        class Approval(RunInput):
            """The form on the page."""

            agree: bool = False

        @flow(name="approve-promotion", persist_result=False)
        def approve_promotion() -> bool:
            for line in lines:
                get_run_logger().info(line)
            write_json(_NOTE, {"flow_run": str(flow_run.id), "url": server.url})
            form = Approval.with_initial_data(agree=False, description="\n\n".join(lines))
            try:
                answer = pause_flow_run(wait_for_input=form, timeout=seconds, poll_interval=_SECONDS_BETWEEN_LOOKS)
            except FlowPauseTimeout:
                return False
            return bool(answer.agree)

        try:
            return approve_promotion()
        finally:
            _NOTE.unlink(missing_ok=True)


def release(*, agree: bool) -> None:
    """End the pause of a run that waits for an answer which was given elsewhere; nothing where none waits."""
    note = read_json(_NOTE) if _NOTE.exists() else None
    if note is None or not is_healthy(note["url"]):
        return
    os.environ[URL_VARIABLE] = note["url"]
    from prefect.exceptions import NotPausedError, ObjectNotFound
    from prefect.flow_runs import resume_flow_run

    with suppress(NotPausedError, ObjectNotFound):
        resume_flow_run(UUID(note["flow_run"]), run_input={"agree": agree})
