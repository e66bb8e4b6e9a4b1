"""A schedule really fires, one run at a time, and what was killed is found out."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import psutil
import pytest

from flows.schedule import SECONDS_WITHOUT_HEARTBEAT
from flows.server import LocalServer
from tests.flows.toys import Toy

pytestmark = pytest.mark.slow


@contextmanager
def schedule(toy: Toy, every_seconds: int) -> Iterator[subprocess.Popen[str]]:
    """`pedigree schedule` at work; interrupted at the end."""
    server = toy.start("-m", "flows.cli", "schedule", "--every", str(every_seconds), "--no-refresh")
    try:
        yield server
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def wait_until(condition: Callable[[], object], limit_seconds: float = 120) -> bool:
    deadline = time.monotonic() + limit_seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return bool(found)


def states(toy: Toy) -> list[str]:
    """The state of every flow run of the project that has begun, oldest first."""
    path = toy.root / ".pedigree" / "prefect" / "prefect.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            rows = database.execute("select state_type from flow_run where start_time not null order by start_time")
            return [row[0] for row in rows]
        except sqlite3.OperationalError:  # the server is still making its tables
            return []


def test_a_schedule_fires_again_and_again_and_runs_what_changed(toy: Toy) -> None:
    with schedule(toy, every_seconds=5) as server:
        assert wait_until(lambda: states(toy).count("COMPLETED") >= 1)
        assert sorted(toy.runs) == ["bottom", "left", "right", "top"]
        toy.write("params.yaml", "top: 2\n")
        assert wait_until(lambda: toy.runs.count("top") == 2)
        assert wait_until(lambda: states(toy).count("COMPLETED") >= 2)
    assert server.returncode == 0


def test_a_killed_run_is_found_out_and_the_next_goes_on_at_the_killed_stage(toy: Toy) -> None:
    toy.write("right.seconds", "600")
    with schedule(toy, every_seconds=5) as server:
        assert wait_until(lambda: "right" in toy.runs and "left" in toy.runs)
        # While it works, nothing else runs: those that come due are cancelled.
        assert not wait_until(lambda: len(states(toy)) - states(toy).count("CANCELLED") > 1, 8)
        below = psutil.Process(server.pid).children(recursive=True)
        os.kill(server.pid, signal.SIGKILL)
        assert wait_until(lambda: not any(p.is_running() and p.status() != "zombie" for p in below), 15)
    (toy.root / "right.seconds").unlink()
    with schedule(toy, every_seconds=5):
        assert wait_until(lambda: "COMPLETED" in states(toy))
    assert "CRASHED" in states(toy)
    assert [toy.runs.count(name) for name in ("top", "right", "bottom")] == [1, 2, 1]


def test_a_run_killed_with_its_worker_is_declared_crashed_by_the_server_that_lives_on(project: Toy) -> None:
    """The server stands elsewhere, as a team's does: nobody starts `pedigree schedule` again to look."""
    project.write("right.seconds", "600")
    with LocalServer(is_lasting=True) as server:
        url = server.wait()
        worker = project.start("-m", "flows.cli", "schedule", "--every", "5", "--no-refresh", PREFECT_API_URL=url)
        assert wait_until(lambda: "right" in project.runs)
        assert wait_until(lambda: has_event(project, "prefect.flow-run.heartbeat"), 60)
        for process in [*psutil.Process(worker.pid).children(recursive=True), worker]:
            with suppress(psutil.NoSuchProcess):  # it ended by itself, or with its parent
                process.kill()
        worker.communicate()
        assert wait_until(lambda: "CRASHED" in states(project), SECONDS_WITHOUT_HEARTBEAT + 60)
        assert "RUNNING" not in states(project)


def has_event(toy: Toy, name: str) -> bool:
    """Whether the server of a project knows such an event."""
    path = toy.root / ".pedigree" / "prefect" / "prefect.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return bool(database.execute("select 1 from events where event = ?", [name]).fetchone())


def test_a_cron_expression_that_is_none_is_told(toy: Toy) -> None:
    done = toy.pedigree("schedule", "--cron", "every night")
    assert done.returncode == 1
    assert "'every night'" in done.stdout
    assert "Traceback" not in done.stdout
