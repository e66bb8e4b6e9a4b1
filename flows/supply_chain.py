"""The supply chain as a Prefect flow: the graph of dvc.yaml, each stage a task of its own.

In: the names of stages (none: all). Out: a state; the results are where DVC puts them, and dvc.lock is the one that
`dvc repro` would leave. In between: DVC alone decides what is current, so Prefect's cache is off; independent stages
run side by side, and what follows a failed stage does not start. The bodies are thin, because a deployment may send
them to another process: all state is in the objects that they open.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events.worker import EventsWorker
from prefect.futures import PrefectFuture
from prefect.logging.handlers import APILogWorker
from prefect.states import Completed, Failed

from components.core.errors import PedigreeError
from components.core.lock import hold_workspace
from flows import lockfiles
from flows.graph import Node
from flows.plan import Plan, make_plan
from flows.stages import Reproducer, StageFailed

# Exit codes that the same work would end with again: a user's mistake, a failed gate, a fault of the stage.
_NOT_WORTH_A_RETRY = frozenset({2, 3, 4, 5, 6, 7, 130})


@task(cache_policy=NO_CACHE, persist_result=False)
def run_stage(reproducer: Reproducer, node: Node) -> State[Any]:
    """Run one stage; its state is named Cached when nothing had changed or DVC had the result."""
    logger = get_run_logger()

    def emit(line: str) -> None:
        tell(node.name, line)
        logger.info(line)

    try:
        how = reproducer.run(node.name, node.timeout_seconds, emit)
    except StageFailed as error:
        tell(node.name, f"failed: {error.found}")
        return Failed(message=str(error), data=error.exit_code)
    tell(node.name, how)
    _publish_report(node)
    return Completed(name="Completed" if how == "ran" else "Cached", message=how, data=how)


@task(cache_policy=NO_CACHE, persist_result=False)
def skip_stage() -> State[Any]:
    """Stand for a stage that the plan found current, with everything before it."""
    return Completed(name="Cached", message="unchanged", data="unchanged")


@flow(name="supply-chain", persist_result=False)
def supply_chain(targets: list[str] | None = None, refresh: bool = False) -> State[Any]:
    """Bring ``targets`` (all stages when empty) up to date; ``refresh`` pins the sources anew first."""
    _end_with_parent()
    with hold_workspace("pedigree run"), Reproducer() as reproducer:
        if refresh:
            from flows.refresh import take_changes

            for line in take_changes():
                tell("sources", line)
        for sentence in lockfiles.mend():
            tell("workspace", sentence)
        lockfiles.remember_order()
        plan = make_plan(targets or ())
        try:
            futures = _submit(plan, reproducer)
            states = {name: _state_of(future) for name, future in futures.items()}
        finally:
            reproducer.stop()
        lockfiles.restore_order(list(plan.nodes))
    return _conclude(states)


def _end_with_parent() -> None:
    """A scheduled run is a process below `pedigree schedule`: end at once when that one is killed."""

    def wait(parent: BaseProcess) -> None:
        parent.join()
        os._exit(1)

    if parent := multiprocessing.parent_process():
        threading.Thread(target=wait, args=(parent,), daemon=True).start()


def outcome(state: State[Any]) -> tuple[int, str]:
    """Exit code and words of a state: 0 for a good end, for a failure that was foreseen its own code."""
    if state.is_completed():
        return 0, str(state.message)
    carried = state.result(raise_on_failure=False)
    if isinstance(carried, PedigreeError):
        return carried.exit_code, str(carried)
    return carried if isinstance(carried, int) else 1, str(state.message)


def send_queued() -> None:
    """Send the logs and events that Prefect still holds back, while the server is there to take them."""
    APILogWorker.drain_all(timeout=5)
    EventsWorker.drain_all(timeout=5)


def tell(name: str, line: str) -> None:
    """Show a line of a stage on the screen."""
    print(f"{name} │ {line}", file=sys.stderr, flush=True)


def _submit(plan: Plan, reproducer: Reproducer) -> dict[str, PrefectFuture[Any]]:
    futures: dict[str, PrefectFuture[Any]] = {}
    for node in plan.nodes.values():
        before = [futures[name] for name in node.upstream]
        if node.name in plan.to_run:
            futures[node.name] = _as_task(run_stage, node).submit(reproducer, node, wait_for=before)
        else:
            futures[node.name] = _as_task(skip_stage, node).submit(wait_for=before)
    return futures


def _as_task(body: Any, node: Node) -> Any:
    return body.with_options(
        name=node.name, task_run_name=node.name, description=node.description,
        retries=node.retries, retry_condition_fn=_is_worth_a_retry,
    )  # fmt: skip


def _state_of(future: PrefectFuture[Any]) -> State[Any]:
    future.wait()
    return future.state


def _is_worth_a_retry(_task: Any, _run: Any, state: State[Any]) -> bool:
    return state.data not in _NOT_WORTH_A_RETRY


def _conclude(states: Mapping[str, State[Any]]) -> State[Any]:
    """Failed with the first failed stage's exit code, or Completed. A stage that never started is not terminal."""
    failed = [state for state in states.values() if state.is_final() and not state.is_completed()]
    waiting = [name for name, state in states.items() if not state.is_final()]
    if not failed:
        return Completed(message=f"{len(states)} stages are up to date")
    first = failed[0]
    not_started = f"\nnot started: {', '.join(waiting)}" if waiting else ""
    code, message = outcome(first)
    return Failed(message=f"{message}{not_started}", data=code)


def _publish_report(node: Node) -> None:
    """Show the stage's report as a table in Prefect's page."""
    for out in node.outs:
        path = Path(out) / "report.json"
        if path.exists():
            rows = [{"metric": key, "value": value} for key, value in json.loads(path.read_bytes()).items()]
            key = "report-" + node.name.replace("@", "-").replace("_", "-").lower()
            create_table_artifact(rows, key=key, description=node.description)
