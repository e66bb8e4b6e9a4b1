"""The Prefect flow over the graph: the same dvc.lock as `dvc repro`, stages side by side, failures told."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.flows.toys import DIAMOND, Toy, make_toy

# Left and right swap their order of completion from graph to graph.
GRAPHS = {
    "left ends last": {"left.seconds": "1.0"},
    "right ends last": {"right.seconds": "1.0"},
    "both at once": {},
}


@pytest.fixture
def environment(prefect_url: str) -> dict[str, str]:
    return {"PREFECT_API_URL": prefect_url}


def make(folder: Path, waits: dict[str, str]) -> Toy:
    toy = make_toy(folder)
    for name, seconds in waits.items():
        toy.write(name, seconds)
    return toy


@pytest.mark.parametrize("waits", GRAPHS.values(), ids=GRAPHS)
def test_both_drivers_leave_the_same_lock_and_nothing_for_the_other(
    tmp_path: Path, waits: dict[str, str], environment: dict[str, str]
) -> None:
    by_dvc, by_flow = make(tmp_path / "dvc", waits), make(tmp_path / "flow", waits)
    assert by_dvc.dvc("repro").returncode == 0
    done = by_flow.pedigree("run", **environment)
    assert done.returncode == 0, done.stdout
    assert by_flow.lock == by_dvc.lock
    for toy in (by_dvc, by_flow):
        before, runs = toy.lock, toy.runs
        assert "Nothing changed" in toy.pedigree("run").stdout
        assert "up to date" in toy.dvc("repro").stdout
        assert (toy.lock, toy.runs) == (before, runs)


def test_after_a_change_both_drivers_leave_the_same_lock(tmp_path: Path, environment: dict[str, str]) -> None:
    toys = [make(tmp_path / name, {"left.seconds": "0.5"}) for name in ("dvc", "flow")]
    for toy in toys:
        # A part first, so that the lock's order is not the plan's.
        assert toy.dvc("repro", "right").returncode == 0
        assert toy.dvc("repro").returncode == 0
        toy.write("params.yaml", "top: 2\n")
        toy.write("dvc.yaml", DIAMOND + "  extra: {cmd: python make.py extra, outs: [extra.txt]}\n")
    assert toys[0].dvc("repro").returncode == 0
    done = toys[1].pedigree("run", **environment)
    assert done.returncode == 0, done.stdout
    assert toys[0].lock == toys[1].lock


def test_a_result_that_dvc_has_comes_back_without_running(toy: Toy, environment: dict[str, str]) -> None:
    assert toy.dvc("repro").returncode == 0
    (toy.root / "left.txt").unlink()
    done = toy.pedigree("run", **environment)
    assert "left │ restored" in done.stdout
    assert len(toy.runs) == 4


def test_a_failed_stage_stops_what_follows_and_passes_its_code_on(toy: Toy, environment: dict[str, str]) -> None:
    text = DIAMOND.replace("python make.py left top", "echo left is not well >&2; exit 3")
    toy.write("dvc.yaml", text)
    done = toy.pedigree("run", **environment)
    assert done.returncode == 3
    assert "left │ left is not well" in done.stdout
    assert "not started: bottom" in done.stdout
    assert "Traceback" not in done.stdout
    assert "bottom" not in toy.runs
    assert "right" in toy.runs  # does not follow it
    toy.write("dvc.yaml", DIAMOND)
    done = toy.pedigree("run", **environment)
    assert done.returncode == 0
    assert toy.runs.count("top") == 1


def test_a_stage_is_tried_again_as_its_meta_says(toy: Toy, environment: dict[str, str]) -> None:
    command = "python make.py top; test $(wc -l < runs.log) -ge 3"
    toy.write("dvc.yaml", DIAMOND.replace("python make.py top", command, 1).replace("retries: 0", "retries: 2"))
    done = toy.pedigree("run", "top", **environment)
    assert done.returncode == 0, done.stdout
    assert toy.runs == ["top"] * 3


def test_only_what_a_target_needs_runs(toy: Toy, environment: dict[str, str]) -> None:
    assert toy.pedigree("run", "left", **environment).returncode == 0
    assert toy.runs == ["top", "left"]


def test_independent_stages_run_side_by_side(toy: Toy, environment: dict[str, str]) -> None:
    assert toy.pedigree("run", "top", **environment).returncode == 0
    for name in ("left", "right"):
        toy.write(f"{name}.seconds", "600")
    driver = toy.start("-m", "flows.cli", "run", **environment)
    deadline = time.monotonic() + 60
    while len(toy.runs) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.kill()
    driver.communicate()
    assert sorted(toy.runs) == ["left", "right", "top"]


def test_nothing_to_do_does_not_import_prefect(toy: Toy) -> None:
    assert toy.dvc("repro").returncode == 0
    code = "import sys; from flows.cli import main; code = main(['run']); print('prefect' in sys.modules, code)"
    assert "False 0" in toy.run("-c", code).stdout


def test_two_drivers_at_once_one_works_and_the_other_is_told(toy: Toy, environment: dict[str, str]) -> None:
    toy.write("top.seconds", "600")
    driver = toy.start("-m", "flows.cli", "run", **environment)
    deadline = time.monotonic() + 60
    while not toy.runs and time.monotonic() < deadline:
        time.sleep(0.05)
    done = toy.pedigree("run")
    driver.kill()
    driver.communicate()
    assert done.returncode == 5
    assert f"process {driver.pid}" in done.stdout
    assert toy.runs == ["top"]


def test_a_killed_run_goes_on_where_it_was(toy: Toy, environment: dict[str, str]) -> None:
    toy.write("right.seconds", "600")
    driver = toy.start("-m", "flows.cli", "run", **environment)
    deadline = time.monotonic() + 60
    while "right" not in toy.runs and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    driver.kill()
    driver.communicate()
    (toy.root / "right.seconds").unlink()
    done = toy.pedigree("run", **environment)
    assert done.returncode == 0, done.stdout
    assert toy.runs.count("top") == 1
    assert toy.runs.count("left") == 1
    reference = make_toy(toy.root.parent / "reference")
    assert reference.dvc("repro").returncode == 0
    assert reference.lock == toy.lock


@pytest.mark.slow
def test_with_a_server_of_its_own_everything_stays_in_the_project(toy: Toy) -> None:
    home = toy.root.parent / "home"
    done = toy.pedigree("run")
    assert done.returncode == 0, done.stdout
    assert list(home.rglob("*")) == []
    with closing(sqlite3.connect(toy.root / ".pedigree" / "prefect" / "prefect.db")) as database:
        names = {row[0] for row in database.execute("select name from task_run")}
        states = {row[0] for row in database.execute("select state_name from task_run")}
        logs = {row[0] for row in database.execute("select message from log")}
    assert names == {"top", "left", "right", "bottom"}
    assert states == {"Completed"}
    assert "bottom at work" in logs
