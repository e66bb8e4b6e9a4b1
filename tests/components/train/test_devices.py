"""The global batch defines the result, not how many devices or processes share it."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.errors import ParamsError, WorkspaceError
from components.train.backends.tensorflow_devices import TensorFlowDevices
from components.train.cluster import Placement, read_placement
from tests.components.train.world import make_world

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory):
    return outcome(start(world, tmp_path_factory.mktemp("alone")))


def start(world, folder, *arguments, backend="tensorflow", **environment):
    command = [sys.executable, "-m", "tests.components.train.worker", backend, str(world), str(folder), *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcome(process):
    out, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    return json.loads(out.splitlines()[-1])


def start_pair(world, folder, last_arguments=(), backend="tensorflow"):
    """Two processes of one training, each with checkpoints of its own; the second is given ``last_arguments``."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    places = [Placement(workers=tuple(workers), index=index).tf_config for index in range(2)]
    return [
        start(world, folder / "0", backend=backend, TF_CONFIG=places[0]),
        start(world, folder / "1", *last_arguments, backend=backend, TF_CONFIG=places[1]),
    ]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
def test_two_devices_of_one_process_give_the_bits_of_one(world, alone, tmp_path):
    found = outcome(start(world, tmp_path / "a", PEDIGREE_DEVICES="cpu:2"))
    assert found == {**alone, "devices": 2}


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(world, alone, tmp_path):
    for found in map(outcome, start_pair(world, tmp_path)):
        assert found == {**alone, "devices": 2}


@pytest.mark.slow
def test_two_processes_of_jax_give_the_bits_of_one(world, alone, tmp_path):
    one = outcome(start(world, tmp_path / "one", backend="jax"))
    for found in map(outcome, start_pair(world, tmp_path / "pair", backend="jax")):
        assert found == {**one, "devices": 2}
    # Dropout draws other numbers there; the first loss of small first weights hardly knows.
    assert one["history"][0]["loss"] == pytest.approx(alone["history"][0]["loss"], abs=0.02)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_started_again_they_go_on(world, alone, tmp_path):
    first, second = start_pair(world, tmp_path, last_arguments=("3",))
    second.communicate(timeout=240)
    told = first.communicate(timeout=120)[1]
    assert second.returncode < 0
    assert first.returncode != 0, told
    # The one that was killed has lost its disk too, as a pod does: it is sent the checkpoint of the other.
    shutil.rmtree(tmp_path / "1")
    again = start_pair(world, tmp_path)
    for process in again:
        out, told = process.communicate(timeout=240)
        assert "goes on after step" in told
        assert json.loads(out.splitlines()[-1]) == {**alone, "devices": 2}


def test_a_placement_is_read_as_each_platform_writes_it():
    both = ("a:1", "b:2")
    tf_config = '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}'
    assert read_placement({}) == Placement()
    assert read_placement({"PEDIGREE_DEVICES": "gpu:4"}) == Placement("GPU", 4)
    assert read_placement({"TF_CONFIG": tf_config}) == Placement(workers=both, index=1)
    kubernetes = {"PEDIGREE_CLUSTER": "a:1,b:2", "JOB_COMPLETION_INDEX": "1"}
    prefect = {"PEDIGREE_CLUSTER": "a:1,b:2", "PEDIGREE_WORKER_INDEX": "0"}
    assert read_placement(kubernetes) == Placement(workers=both, index=1)
    assert read_placement(prefect) == Placement(workers=both, index=0)
    assert json.loads(read_placement(kubernetes).tf_config) == json.loads(tf_config)


@pytest.mark.parametrize(
    "environment",
    [{"PEDIGREE_DEVICES": "tpu"}, {"PEDIGREE_DEVICES": "gpu:0"}, {"TF_CONFIG": "{"}, {"TF_CONFIG": "{}"},
     {"PEDIGREE_CLUSTER": "a:1,b:2"}, {"PEDIGREE_CLUSTER": "a:1,b:2", "JOB_COMPLETION_INDEX": "2"},
     {"PEDIGREE_CLUSTER": "a,b:2", "JOB_COMPLETION_INDEX": "0"},
     {"PEDIGREE_CLUSTER": "a:1", "JOB_COMPLETION_INDEX": "first"}],
)  # fmt: skip
def test_a_placement_that_cannot_be_understood_is_refused_by_name(environment):
    with pytest.raises(WorkspaceError, match="the variable"):
        read_placement(environment)


def test_graphics_cards_that_are_promised_and_not_there_are_told():
    with pytest.raises(WorkspaceError, match="7 graphics cards promised"):
        TensorFlowDevices(Placement("GPU", 7))


def test_a_batch_that_cannot_be_shared_out_equally_is_refused():
    devices = TensorFlowDevices()
    devices.count = 3
    with pytest.raises(ParamsError, match=r"train\.batch_windows"):
        devices.check_batch((8, 17), 1)
