"""`pedigree schedule`: run the supply chain by the clock, for as long as this command runs.

In: a cron expression or a number of seconds. Out: runs, at most one at a time, each in a process of its own.
In between: when a run comes due while another is at work, the new one is cancelled: the next due time catches up,
because a run does whatever is to do. A run that says nothing for 90 seconds (its process and this command were
killed) is declared crashed, by the server while it runs and by the next `pedigree schedule` otherwise; the run after
it goes on at the stage that was killed. The server is the one of ``PREFECT_API_URL``, or a local one that ends with
this command.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import Any

from components.core.errors import PedigreeError
from components.core.lock import holder
from flows.environment import CODE_ROOT
from flows.server import LocalServer

SECONDS_WITHOUT_HEARTBEAT = 90
_NAME = "scheduled"
_AUTOMATION = "pedigree: runs without a heartbeat have crashed"


def schedule(*, cron: str | None = None, every_seconds: float | None = None, refresh: bool = True) -> int:
    """Serve until interrupted; returns 0. ``refresh`` pins the sources anew before each run.

    Raises PedigreeError for a cron expression that is none.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CODE_ROOT), os.environ.get("PYTHONPATH")]))
    with LocalServer(is_lasting=True) as server:
        _check_cron(cron)
        when = f"cron {cron!r} (UTC)" if cron else f"every {every_seconds:g} seconds"
        print(f"Starting; the chain will run {when}. Ctrl-C ends it.", file=sys.stderr, flush=True)
        server.wait()
        _declare_dead_runs_crashed()
        _watch_heartbeats()
        print(f"Runs, logs and reports: {server.url.removesuffix('/api')}", file=sys.stderr, flush=True)
        _serve(cron, every_seconds, refresh)
    return 0


def _serve(cron: str | None, every_seconds: float | None, refresh: bool) -> None:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.types.entrypoint import EntrypointType

    from flows.supply_chain import supply_chain

    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    supply_chain.serve(
        _NAME, cron=cron, interval=every_seconds, parameters={"refresh": refresh}, global_limit=limit,
        entrypoint_type=EntrypointType.MODULE_PATH, print_starting_message=False,
    )  # fmt: skip


def _check_cron(cron: str | None) -> None:
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        CronSchedule(cron=cron or "* * * * *")
    except ValidationError:
        fix = "five fields: minute, hour, day of month, month, day of week, as in '0 3 * * *'"
        raise PedigreeError("--cron", found=repr(cron), expected="a cron expression", fix=fix) from None


def _declare_dead_runs_crashed() -> None:
    """Whoever drives holds the workspace; when nobody does, a run that says it runs is dead."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, FlowRunFilter
    from prefect.states import Crashed

    if holder() is not None:
        return
    states = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}})
    ours = DeploymentFilter(name=DeploymentFilterName(any_=[_NAME]))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=states, deployment_filter=ours):
            message = "its process was killed: nobody holds the workspace"
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
            print(f"run {run.name} had been killed; the next one goes on where it was", file=sys.stderr)


def _watch_heartbeats() -> None:
    """Have the server declare a run crashed when its heartbeats end before it does."""
    from prefect.automations import Automation
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        known = client.request("POST", "/automations/filter", json={}).json()
    if _AUTOMATION not in {automation["name"] for automation in known}:
        Automation(name=_AUTOMATION, trigger=_silence(), actions=[_declare_crashed()]).create()


def _silence() -> Any:
    from prefect.automations import EventTrigger, Posture, ResourceSpecification

    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    return EventTrigger(
        posture=Posture.Proactive, threshold=1, within=timedelta(seconds=SECONDS_WITHOUT_HEARTBEAT),
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        for_each={"prefect.resource.id"},
        after={"prefect.flow-run.Running", "prefect.flow-run.heartbeat"},  # it may die before its first heartbeat
        expect={"prefect.flow-run.heartbeat", *ends},
    )  # fmt: skip


def _declare_crashed() -> Any:
    from prefect.automations import ChangeFlowRunState
    from prefect.client.schemas.objects import StateType

    message = "no heartbeat: its process was killed"
    return ChangeFlowRunState(state=StateType.CRASHED, name=None, force=False, message=message)
