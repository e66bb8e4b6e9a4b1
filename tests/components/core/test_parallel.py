"""Workers: results in order wherever they are made, faults told, walls kept, nobody left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core.crew import COUNT_VARIABLE, Crew, Station
from components.core.errors import InputError, PedigreeError, WorkspaceError
from components.core.parallel import CODE_ROOT, Workers
from components.core.sandbox import Walls, landlock_version
from tests.components.core import work


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a Dask cluster of two worker processes."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="") as cluster:
        yield cluster.scheduler_address


def crews(scheduler: str) -> list[Crew]:
    return [Crew(), Crew(2), Crew(4), Crew(scheduler=scheduler)]


def test_results_come_in_order_wherever_they_are_made(scheduler: str) -> None:
    for crew in crews(scheduler):
        with Workers(crew) as workers:
            done = list(workers.map(work.multiply, 3, range(20), "multiplying"))
        assert [product for product, _ in done] == [3 * number for number in range(20)]
        assert (len({who for _, who in done}) > 1) is (crew != Crew())
        assert (os.getpid() in {who for _, who in done}) is (crew == Crew())


def test_an_error_keeps_its_kind_and_its_words(scheduler: str) -> None:
    for crew in crews(scheduler):
        with Workers(crew) as workers, pytest.raises(InputError, match="piece 4") as caught:
            list(workers.map(work.refuse, None, range(20), "refusing"))
        assert (caught.value.found, caught.value.fix) == ("four", "count on")


@pytest.mark.parametrize("place", ["here", "cluster"])
def test_a_worker_that_is_killed_is_told(place: str, scheduler: str) -> None:
    crew = Crew(2) if place == "here" else Crew(scheduler=scheduler)
    with Workers(crew) as workers, pytest.raises(PedigreeError, match="middle of a piece"):
        list(workers.map(work.end, None, range(20), "ending"))


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_workers_stand_behind_the_walls_of_the_stage(tmp_path: Path, scheduler: str) -> None:
    (tmp_path / "open").write_text("to be read")
    (tmp_path / "closed").write_text("not declared")
    walls = Walls(readable=(tmp_path / "open", CODE_ROOT), writable=())
    for crew in (Crew(2, station=Station(walls)), Crew(scheduler=scheduler, station=Station(walls, execution="walls"))):
        with Workers(crew) as workers:
            assert set(workers.map(work.read, tmp_path / "open", range(8), "reading")) == {"to be read"}
            with pytest.raises(PermissionError):
                list(workers.map(work.read, tmp_path / "closed", range(8), "reading"))


def test_a_cluster_with_other_code_is_refused(tmp_path: Path, scheduler: str) -> None:
    station = Station(Walls((), ()), {}, "pack", "0" * 64, "other code")
    with (
        Workers(Crew(scheduler=scheduler, station=station)) as workers,
        pytest.raises(WorkspaceError, match="code 0000"),
    ):
        list(workers.map(work.multiply, 3, range(4), "multiplying"))


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.core.parallel._CONNECT_SECONDS", 1)
    with (
        Workers(Crew(scheduler="tcp://127.0.0.1:9")) as workers,
        pytest.raises(WorkspaceError, match="a Dask scheduler"),
    ):
        list(workers.map(work.multiply, 3, range(4), "multiplying"))


def test_workers_end_with_their_owner() -> None:
    program = (
        "import os, sys; from components.core.crew import Crew; from components.core.parallel import Workers\n"
        "from tests.components.core import work\n"
        "workers = Workers(Crew(2)); results = workers.map(work.multiply, 1, range(1000), '')\n"
        "print(*{next(results)[1] for _ in range(9)}, flush=True); list(workers.map(work.sleep, 60.0, range(9), ''))\n"
    )
    command = [sys.executable, "-c", program]
    owner = subprocess.Popen(command, cwd=CODE_ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 1.0
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert pids
    assert not left


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "9999", "²"])
def test_a_number_of_workers_that_is_none_is_told(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COUNT_VARIABLE, value)
    with pytest.raises(WorkspaceError, match=COUNT_VARIABLE):
        Crew.here()
    monkeypatch.setenv(COUNT_VARIABLE, "3")
    assert Crew.here().count == 3
