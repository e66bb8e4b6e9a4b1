"""What a killed run leaves behind is mended before the next one."""

import json
import os
import re
import subprocess
import sys

import psutil
import pytest

from flows import lockfiles
from tests.flows.toys import Toy

LOCK = """\
schema: '2.0'
stages:
  top:
    cmd: python make.py top
    outs:
    - path: top.txt
      hash: md5
      md5: 5c9597f3c8245907ea71a89d9d39d08e
      size: 4
  bottom:
    cmd: python make.py bottom
    outs:
    - path: bottom.txt
      hash: md5
      md5: 5c9597f3c8245907ea71a89d9d39d08e
      size: 4
"""


@pytest.mark.parametrize("length", [0, 10, 40, len(LOCK) - 20])
def test_a_truncated_lock_is_replaced_by_its_copy_or_still_read(project: Toy, length: int) -> None:
    project.write("dvc.lock", LOCK)
    assert lockfiles.mend() == []
    project.write("dvc.lock", LOCK[:length])
    lockfiles.mend()
    assert project.dvc("status").returncode == 0


def test_a_lock_cut_within_a_stage_comes_back(project: Toy) -> None:
    project.write("dvc.lock", LOCK)
    lockfiles.mend()
    project.write("dvc.lock", LOCK[: LOCK.index("h: md5")])
    assert len(lockfiles.mend()) == 1
    assert project.lock == LOCK.encode()


def test_known_stages_stay_where_they_are_and_new_ones_come_in_plan_order(project: Toy) -> None:
    head, top, bottom = re.split(r"(?=^  \w+:$)", LOCK, flags=re.MULTILINE)
    project.write("dvc.lock", head + bottom)
    lockfiles.remember_order()
    project.write("dvc.lock", LOCK)
    lockfiles.restore_order(["fresh", "top", "bottom"])
    assert project.lock == (head + bottom + top).encode()


def test_the_order_before_a_killed_run_is_the_one_that_counts(project: Toy) -> None:
    lockfiles.remember_order()
    head, top, bottom = re.split(r"(?=^  \w+:$)", LOCK, flags=re.MULTILINE)
    project.write("dvc.lock", head + bottom)  # the killed run came as far as this
    lockfiles.remember_order()
    project.write("dvc.lock", head + bottom + top)
    lockfiles.restore_order(["top", "bottom"])
    assert project.lock == LOCK.encode()


def test_an_order_that_is_right_is_not_written_again(project: Toy) -> None:
    path = project.write("dvc.lock", LOCK)
    before = path.stat().st_mtime_ns
    lockfiles.remember_order()
    lockfiles.restore_order(["top", "bottom"])
    assert path.stat().st_mtime_ns == before


def table(pid: int, command: str) -> str:
    entry = {"pid": pid, "cmd": command}
    return json.dumps({"read": {"/a": [entry]}, "write": {"/b": entry}})


def write_table(project: Toy, text: str) -> None:
    (project.root / ".dvc" / "tmp").mkdir(exist_ok=True)
    project.write(".dvc/tmp/rwlock", text)


def test_marks_of_a_process_that_is_gone_are_removed(project: Toy) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    write_table(project, table(int(gone.stdout), "dvc repro"))
    assert len(lockfiles.mend()) == 1
    assert not (project.root / ".dvc/tmp/rwlock").exists()


def test_marks_of_a_number_that_was_used_again_are_removed(project: Toy) -> None:
    write_table(project, table(os.getpid(), "dvc repro of long ago"))
    assert len(lockfiles.mend()) == 1


def test_marks_of_a_living_dvc_are_kept(project: Toy) -> None:
    write_table(project, table(os.getpid(), " ".join(psutil.Process().cmdline())))
    assert lockfiles.mend() == []


@pytest.mark.parametrize("text", ['{"read": {"/a": [{"pi', "[]", ""])
def test_a_table_that_is_not_whole_is_removed(project: Toy, text: str) -> None:
    write_table(project, text)
    lockfiles.mend()
    assert project.dvc("status").returncode == 0


def test_an_empty_table_is_nothing_to_tell(project: Toy) -> None:
    write_table(project, '{"read": {}, "write": {}}')
    assert lockfiles.mend() == []
