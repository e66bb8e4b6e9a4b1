"""A pause in Prefect that a person ends on its pages: the answer to a proposed promotion.

In: the verdict in lines. Out: whether the person agreed. In between: a flow that is paused and shows the verdict; it
is resumed with a form on the page of the run (`pedigree ui runs`, or one's own Prefect server). Nobody there for a
day is a no.
"""

from __future__ import annotations

from collections.abc import Sequence

from flows.server import LocalServer

SECONDS_TO_ANSWER = 24 * 3600


def ask(lines: Sequence[str]) -> bool:
    """Pause until a person has answered; returns the answer."""
    with LocalServer(is_lasting=True) as server:
        print(f"waiting for a person: {server.url.removesuffix('/api')}/runs, Resume (or `pedigree promote --approve`)")
        server.wait()
        from prefect import flow, get_run_logger
        from prefect.flow_runs import pause_flow_run
        from prefect.input import RunInput

        class Approval(RunInput):
            """The form on the page."""

            agree: bool = False

        @flow(name="approve-promotion", persist_result=False)
        def approve_promotion() -> bool:
            for line in lines:
                get_run_logger().info(line)
            form = Approval.with_initial_data(agree=False, description="\n\n".join(lines))
            return bool(pause_flow_run(wait_for_input=form, timeout=SECONDS_TO_ANSWER).agree)

        return approve_promotion()
