"""A stage ``train`` that is stopped or killed goes on where it had come to, under both drivers, to the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from components.core.records import verify
from tests.worlds import Workspace

pytestmark = pytest.mark.slow

LIVE = ".pedigree/scratch/train/live.jsonl"
EVERY_STEP = {"PEDIGREE_CHECKPOINT_SECONDS": "0"}
STAGE = ["-m", "components", "train", "--tokens", "data/pack", "--checks", "data/validate/tokens", "--output"]


@pytest.fixture
def longer(chain: Workspace) -> Workspace:
    """The built debug chain, whose training shall take ten times as many steps."""
    chain.replace("params.yaml", "num_steps: 60", "num_steps: 600")
    return chain


def start(workspace: Workspace, *command: str, **environment: str) -> "subprocess.Popen[str]":
    (workspace.root / LIVE).unlink(missing_ok=True)  # of an attempt that was killed
    return subprocess.Popen(
        [sys.executable, *command], cwd=workspace.root, env=workspace.environment(**EVERY_STEP, **environment),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_steps(workspace: Workspace, num_steps: int, process: "subprocess.Popen[str]") -> None:
    """Wait until the training that runs has told so many steps of its own."""
    live, end = workspace.root / LIVE, time.monotonic() + 240
    while process.poll() is None and time.monotonic() < end:
        if live.exists() and live.read_text().count("\n") >= num_steps:
            return
        time.sleep(0.02)
    raise AssertionError(process.communicate()[0])


def checkpoints(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in (workspace.root / ".pedigree/checkpoints/train").glob("*/step-*"))


def test_stopped_and_killed_under_each_driver_it_ends_with_the_bytes_of_a_run_left_alone(longer: Workspace) -> None:
    longer.python(*STAGE, "data/alone")
    alone = verify(longer.root / "data/alone")
    assert checkpoints(longer) == []

    by_hand = start(longer, *STAGE, "data/train")
    wait_for_steps(longer, 20, by_hand)
    asked = time.monotonic()
    by_hand.send_signal(signal.SIGTERM)
    told = by_hand.communicate(timeout=60)[0]
    assert time.monotonic() - asked < 5
    assert by_hand.returncode == 9, told
    assert "run again: it goes on after step" in told
    assert checkpoints(longer)

    by_dvc = start(longer, "-m", "dvc", "repro", "train")
    wait_for_steps(longer, 20, by_dvc)
    os.kill(by_dvc.pid, signal.SIGKILL)
    by_dvc.communicate()
    killed_at = checkpoints(longer)[-1]

    by_flow = start(longer, "-m", "flows.cli", "run", "train")
    wait_for_steps(longer, 20, by_flow)
    by_flow.send_signal(signal.SIGTERM)
    told = by_flow.communicate(timeout=120)[0]
    assert by_flow.returncode == 130, told
    assert f"goes on after step {int(killed_at[5:13])}" in told
    stopped_at = checkpoints(longer)[-1]
    assert stopped_at > killed_at

    last = longer.pedigree("run", "train").stdout
    assert f"goes on after step {int(stopped_at[5:13])}" in last
    assert verify(longer.root / "data/train") == alone
    assert not list((longer.root / ".pedigree/checkpoints/train").iterdir())


def test_what_was_left_unfinished_is_told_with_its_difference_and_kept(longer: Workspace) -> None:
    first = start(longer, *STAGE, "data/train")
    wait_for_steps(longer, 3, first)
    first.kill()
    first.communicate()
    before = checkpoints(longer)
    longer.replace("params.yaml", "num_steps: 600", "num_steps: 30")
    told = longer.python(*STAGE, "data/train").stdout
    assert "starts anew; unfinished work of other values stays in .pedigree/checkpoints/train/" in told
    assert "(params.num_steps: 600, now 30)" in told
    assert checkpoints(longer) == before
    history = (longer.root / "data/train/history.jsonl").read_text().splitlines()
    assert json.loads(history[-1])["step"] == 30


def test_a_value_of_params_trains_by_jax_on_as_many_devices_as_one_likes(chain: Workspace) -> None:
    chain.replace("params.yaml", "backend: tensorflow", "backend: jax")
    chain.replace("params.yaml", "num_accumulations: 1", "num_accumulations: 2")
    chain.replace("params.yaml", "num_steps: 60", "num_steps: 20")
    chain.python(*STAGE, "data/train")
    chain.python(*STAGE, "data/again", PEDIGREE_DEVICES="cpu:2")
    assert verify(chain.root / "data/train") == verify(chain.root / "data/again")
    losses = [json.loads(line)["loss"] for line in (chain.root / "data/train/history.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.5
    # What differed, the times, stays in the workspace and in no artifact.
    assert len((chain.root / ".pedigree/times/train.jsonl").read_text().splitlines()) == 1 + 20
    assert (chain.root / ".pedigree/times/train.html").exists()
    assert b"seconds_" not in b"".join(path.read_bytes() for path in (chain.root / "data/again").iterdir())


def test_tokens_that_are_not_what_was_packed_are_refused_before_anything_is_read(chain: Workspace) -> None:
    shard = sorted((chain.root / "data/pack").rglob("*.npy"))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.unlink()
    shard.write_bytes(content)
    done = chain.python(*STAGE, "data/again", check=False)
    assert done.returncode != 0
    assert str(shard.name) in done.stdout
    assert not (chain.root / "data/again").exists()
