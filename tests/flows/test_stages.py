"""A stage runs below a guard: its lines are streamed, its end is told, and nothing outlives the driver."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from flows.stages import Reproducer, StageFailed
from tests.flows.toys import Toy

ODD = """
stages:
  fails:
    cmd: echo no good >&2; exit 3
    outs: [never.txt]
  hangs:
    cmd: sleep 4242 & sleep 4243; true
    outs: [never2.txt]
  escapes:
    cmd: setsid sleep 4244 & sleep 4245
    outs: [never3.txt]
  killed:
    cmd: kill -9 $$
    outs: [never4.txt]
  misses:
    cmd: "true"
    deps: [nowhere.txt]
    outs: [never5.txt]
  forgets:
    cmd: "true"
    outs: [never6.txt]
  polite:
    cmd: trap 'echo bye > bye.txt; exit 0' TERM; sleep 4246 & wait
    outs: [never7.txt]
"""


@pytest.fixture
def reproducer(project: Toy) -> Iterator[Reproducer]:
    with Reproducer() as reproducer:
        yield reproducer


@pytest.fixture
def odd(project: Toy) -> Toy:
    project.write("dvc.yaml", ODD)
    return project


def ignore(_line: str) -> None:
    pass


def sleepers(*seconds: int) -> list[int]:
    wanted = {str(number) for number in seconds}
    return [p.pid for p in psutil.process_iter(["cmdline"]) if wanted & set(p.info["cmdline"] or ())]


def wait_until(condition: Callable[[], object], limit_seconds: float = 10) -> bool:
    deadline = time.monotonic() + limit_seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(found)


def test_a_stage_runs_then_is_unchanged_then_comes_back_from_the_cache(reproducer: Reproducer, project: Toy) -> None:
    lines: list[str] = []
    assert reproducer.run("top", 60, lines.append) == "ran"
    assert lines == ["top at work"]
    assert reproducer.run("top", 60, ignore) == "unchanged"
    (project.root / "top.txt").unlink()
    assert reproducer.run("top", 60, ignore) == "restored"
    assert project.runs == ["top"]


def test_the_exit_code_and_the_words_of_a_failed_stage_are_passed_on(odd: Toy, reproducer: Reproducer) -> None:
    lines: list[str] = []
    with pytest.raises(StageFailed) as told:
        reproducer.run("fails", 60, lines.append)
    assert told.value.exit_code == 3
    assert lines == ["no good"]


def test_a_command_that_a_signal_ended_is_counted_as_a_shell_counts_it(odd: Toy, reproducer: Reproducer) -> None:
    with pytest.raises(StageFailed) as told:
        reproducer.run("killed", 60, ignore)
    assert told.value.exit_code == 128 + signal.SIGKILL


@pytest.mark.parametrize(("stage", "named"), [("misses", "nowhere.txt"), ("forgets", "never6.txt")])
def test_what_dvc_refuses_is_told_without_a_traceback(odd: Toy, reproducer: Reproducer, stage: str, named: str) -> None:
    lines: list[str] = []
    with pytest.raises(StageFailed):
        reproducer.run(stage, 60, lines.append)
    assert any(named in line for line in lines)
    assert not any("Traceback" in line for line in lines)


def test_a_stage_that_takes_too_long_is_ended_with_all_that_it_started(odd: Toy, reproducer: Reproducer) -> None:
    with pytest.raises(StageFailed, match="still running after 1 seconds"):
        reproducer.run("hangs", 1, ignore)
    assert sleepers(4242, 4243) == []


def test_a_process_that_left_the_session_does_not_escape(odd: Toy, reproducer: Reproducer) -> None:
    with pytest.raises(StageFailed):
        reproducer.run("escapes", 1, ignore)
    assert sleepers(4244, 4245) == []


def test_a_stage_is_asked_to_end_before_it_is_forced(odd: Toy, reproducer: Reproducer) -> None:
    with pytest.raises(StageFailed):
        reproducer.run("polite", 1, ignore)
    assert (odd.root / "bye.txt").exists()
    assert sleepers(4246) == []


def test_stop_ends_what_runs_and_starts_nothing_more(odd: Toy, reproducer: Reproducer) -> None:
    failures: list[StageFailed] = []

    def run() -> None:
        try:
            reproducer.run("hangs", 60, ignore)
        except StageFailed as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert wait_until(lambda: sleepers(4242))
    reproducer.stop()
    thread.join(10)
    assert [failure.exit_code for failure in failures] == [130]
    assert sleepers(4242, 4243) == []
    with pytest.raises(StageFailed, match="the driver was stopped"):
        reproducer.run("fails", 60, ignore)


def test_side_by_side_no_more_than_the_jobs(project: Toy) -> None:
    project.write("dvc.yaml", "stages:\n" + "".join(
        f"  s{n}: {{cmd: python make.py s{n}, outs: [s{n}.txt]}}\n" for n in range(3)))  # fmt: skip
    for number in range(3):
        project.write(f"s{number}.seconds", "1.5")
    with Reproducer(jobs=2) as reproducer:
        threads = [threading.Thread(target=reproducer.run, args=(f"s{n}", 60, ignore)) for n in range(3)]
        for thread in threads:
            thread.start()
        assert wait_until(lambda: len(project.runs) == 2)
        time.sleep(0.5)
        assert len(project.runs) == 2
        for thread in threads:
            thread.join()
    assert sorted(project.runs) == ["s0", "s1", "s2"]


DRIVER = """
from flows.environment import prepare
from flows.stages import Reproducer
prepare()
with Reproducer() as reproducer:
    reproducer.run("hangs", 600, print)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_a_killed_driver(toy: Toy, number: signal.Signals) -> None:
    toy.write("dvc.yaml", ODD.replace("4242", f"52{number:02}").replace("4243", f"53{number:02}"))
    seconds = (5200 + number, 5300 + number)
    driver = toy.start("-c", DRIVER)
    assert wait_until(lambda: len(sleepers(*seconds)) == 2, 20), driver.stdout and driver.stdout.read()
    os.kill(driver.pid, number)
    assert wait_until(lambda: not sleepers(*seconds), 3)
    driver.communicate(timeout=10)


def test_no_child_outlives_a_killed_dvc(toy: Toy) -> None:
    toy.write("dvc.yaml", ODD.replace("4242", "4262").replace("4243", "4263"))
    driver = toy.start("-c", DRIVER)
    assert wait_until(lambda: len(sleepers(4262, 4263)) == 2, 20)
    shell = psutil.Process(sleepers(4263)[0]).parent()
    assert shell is not None
    dvc = shell.parent()
    assert dvc is not None
    dvc.kill()
    assert wait_until(lambda: not sleepers(4262, 4263), 3)
    told, _ = driver.communicate(timeout=20)
    assert "its processes were killed" in told


def test_the_reproducer_ends_with_its_driver(toy: Toy) -> None:
    toy.write("dvc.yaml", ODD)
    driver = toy.start("-c", DRIVER.replace('reproducer.run("hangs", 600, print)', "import time; time.sleep(600)"))
    assert wait_until(lambda: psutil.Process(driver.pid).children(), 20)
    children = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    assert wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children), 5)
    driver.communicate()
