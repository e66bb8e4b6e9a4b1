"""What every stage keeps, tried on each stage of the built debug chain; a new stage is tried once it is declared."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from components.__main__ import stage
from components.core import params
from components.core.files import list_files
from components.core.records import Record, read_record, verify
from tests.worlds import Workspace, kinds_of_stages

pytestmark = pytest.mark.slow
STAGES = kinds_of_stages()
# When a stage is killed, in seconds after it began; half a second for all others.
MOMENTS = {"ingest": (0.0, 0.25, 0.5), "preprocess": (0.0, 0.25, 0.5), "collect": (0.0,)}


def words_of(name: str, workspace: Workspace) -> list[str]:
    """The words of a stage's command in dvc.yaml, from its name on."""
    blocks = YAML(typ="safe").load((workspace.root / "dvc.yaml").read_text())["stages"]
    base, _, key = name.partition("@")
    block = blocks[base]["do"] if key else blocks[base]
    text, items = block["cmd"].replace("${key}", key), blocks[base].get("foreach", {})
    values = params.load(workspace.root / "params.yaml")
    item = (values[items[2:-1]] if isinstance(items, str) else items).get(key, {})
    return shlex.split(re.sub(r"\$\{item\.([a-z.]+)\}", lambda found: value_at(item, found[1]), text))[3:]


def value_at(item: Any, place: str) -> str:
    for key in place.split("."):
        item = item[key]
    return str(item)


@pytest.mark.parametrize("name", STAGES)
def test_equal_inputs_give_equal_bytes(name: str, chain: Workspace) -> None:
    words = words_of(name, chain)
    again = [*words[:-1], "data/again"]
    chain.stage(*again, PYTHONHASHSEED="7", TZ="Asia/Tokyo", LANG="C", OMP_NUM_THREADS="1")
    first, second = verify(chain.root / words[-1]), verify(chain.root / "data/again")
    assert first == second


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_is_killed_leaves_nothing_and_then_gives_the_same_bytes(name: str, chain: Workspace) -> None:
    words = words_of(name, chain)
    again, work = [*words[:-1], "data/again"], chain.root / ".pedigree" / "scratch" / name
    for seconds in MOMENTS.get(name, (0.5,)):
        kill_at_work(seconds, again, work, chain, read_record(chain.root / words[-1]))
        assert_nobody_works_in(work)
    chain.stage(*again)
    assert read_record(chain.root / "data/again") == read_record(chain.root / words[-1])
    assert not work.exists()


def kill_at_work(seconds: float, words: list[str], work: Path, chain: Workspace, whole: Record) -> None:
    """Kill a stage so long after it began; one that was quicker has left all, and is killed sooner another time."""
    kill_after(seconds, words, work, chain)
    output = chain.root / words[-1]
    if output.exists():
        assert read_record(output) == whole
        shutil.rmtree(output)
        kill_at_work(seconds / 2, words, work, chain, whole)


def kill_after(seconds: float, words: list[str], work: Path, chain: Workspace) -> None:
    """Kill a stage so long after it began to work in its folder ``work``."""
    (work / "job.json").unlink(missing_ok=True)  # of the kill before
    command = [sys.executable, "-m", "components", *words]
    process = subprocess.Popen(command, cwd=chain.root, env=chain.environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (work / "job.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def assert_nobody_works_in(folder: Path) -> None:
    """Soon after its parent was killed, no process has its working directory below ``folder``.

    On a quiet machine a tenth of a second is enough. Other tests may have the processors, and a process that was
    only being started ends when it begins to run.
    """
    deadline = time.monotonic() + 30.0
    while (left := processes_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def processes_in(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(process.name)
    return found


@pytest.mark.parametrize("name", [name for name in STAGES if name not in ("ingest", "collect")])
def test_a_damaged_input_is_refused_by_name_before_it_is_read(name: str, chain: Workspace) -> None:
    words = words_of(name, chain)
    folder = chain.root / words[2]
    damaged = max((folder / n for n in list_files(folder) if n != "record.json"), key=lambda path: path.stat().st_size)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    done = chain.stage(*words[:-1], "data/again", check=False)
    assert done.returncode == 4, done.stdout
    assert damaged.name in done.stdout
    assert "Traceback" not in done.stdout
    assert not (chain.root / "data/again").exists()


@pytest.mark.parametrize("name", STAGES)
def test_a_missing_input_is_told_without_a_traceback(name: str, chain: Workspace) -> None:
    words = words_of(name, chain)
    (chain.root / words[2]).rename(chain.root / "moved")
    done = chain.stage(*words[:-1], "data/again", check=False)
    assert done.returncode == 4, done.stdout
    assert words[2] in done.stdout
    assert "Traceback" not in done.stdout


def test_an_output_that_cannot_be_written_is_told_without_a_traceback(chain: Workspace) -> None:
    words = words_of("tokenizer", chain)
    (chain.root / "file").write_text("in the way")
    done = chain.stage(*words[:-1], "file/again", check=False)
    assert done.returncode == 5, done.stdout
    assert "file" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("name", STAGES)
def test_the_record_says_what_the_stage_was_made_of(name: str, built: Workspace) -> None:
    words = words_of(name, built)
    record = verify(built.root / words[-1])
    assert record.stage == name
    assert {given.partition("/")[0] for given in record.inputs} == set(stage(name).inputs)
    assert record.params == stage(name).config.model_validate(record.params, strict=False).model_dump(mode="json")
