"""The real debug chain under both drivers: the same lock, nothing left for the other, and kills in every stage."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.worlds import Workspace, kinds_of_stages, make_workspace

pytestmark = pytest.mark.slow


def lock_of(workspace: Workspace) -> str:
    return (workspace.root / "dvc.lock").read_text()


def test_both_drivers_leave_the_same_lock_and_nothing_for_the_other(chain: Workspace, tmp_path: Path) -> None:
    by_dvc = make_workspace(tmp_path / "dvc")
    by_dvc.pedigree("refresh", "--yes")
    by_dvc.dvc("repro")
    assert lock_of(by_dvc) == lock_of(chain)
    for workspace in (by_dvc, chain):
        before = lock_of(workspace)
        assert "Nothing changed" in workspace.pedigree("run").stdout
        started = [line for line in workspace.dvc("repro").stdout.splitlines() if line.startswith("Running stage")]
        assert started == ["Running stage 'fingerprint':"]
        assert lock_of(workspace) == before


def test_a_run_that_is_killed_in_every_stage_ends_with_the_same_bytes(
    built: Workspace, tmp_path: Path, prefect_url: str
) -> None:
    workspace, finished = make_workspace(tmp_path / "killed"), set[str]()
    for name in kinds_of_stages():
        if name not in finished:  # it may have ended beside the one that was killed
            ran = finished_before_the_kill(workspace, name, prefect_url)
            assert not ran & finished, f"ran again after the kill before {name}"
            finished |= ran
    done = workspace.pedigree("run", PREFECT_API_URL=prefect_url)
    assert not stages_that_ran(done.stdout) & finished
    assert lock_of(workspace) == lock_of(built)
    assert not list((workspace.root / ".pedigree" / "scratch").iterdir())


def finished_before_the_kill(workspace: Workspace, name: str, prefect_url: str) -> set[str]:
    """Run the chain, kill its driver -9 while stage ``name`` works; returns the stages that had run by then."""
    job = workspace.root / ".pedigree" / "scratch" / name / "job.json"
    job.unlink(missing_ok=True)  # of a stage that was at work beside the one killed before
    with (workspace.root / "run.log").open("w+") as log:
        driver = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run"], cwd=workspace.root, stdout=log, stderr=log,
            env=workspace.environment(PREFECT_API_URL=prefect_url),
        )  # fmt: skip
        has_begun = wait_for(job, driver)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        log.seek(0)
        told = log.read()
        assert has_begun, told
        return stages_that_ran(told)


def wait_for(path: Path, driver: subprocess.Popen[bytes], limit_seconds: float = 240) -> bool:
    deadline = time.monotonic() + limit_seconds
    while not path.exists() and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return path.exists()


def stages_that_ran(told: str) -> set[str]:
    return {line.removesuffix(" │ ran") for line in told.splitlines() if line.endswith(" │ ran")}
