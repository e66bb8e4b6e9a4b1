"""A disk that is full while a checkpoint is saved: told, and the checkpoint before it stays whole."""

import os
import resource
import signal
import subprocess

import numpy as np
import pytest

from components.core.errors import WorkspaceError
from components.core.stage import Attempt
from components.train.checkpoints import Checkpoints, read


class Weights:
    """A state of four megabytes."""

    def __init__(self):
        self.state = {"model.weight": np.ones(1_000_000, np.float32)}


def history(num_steps):
    return [{"step": step, "loss": 1.0} for step in range(1, num_steps + 1)]


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 6 MB."""
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", tmp_path], check=False).returncode
    ):
        pytest.skip("no right to mount a tmpfs here")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def assert_kept(error, folder):
    assert "no space left on the disk" in error.found
    assert "the checkpoint after step 1 is whole" in error.fix
    (kept,) = folder.iterdir()
    manifest, state, entries = read(kept, {"seed": 1})
    assert (manifest.step, entries) == (1, history(1))
    np.testing.assert_array_equal(state["model.weight"], Weights().state["model.weight"])


def test_a_small_disk_that_fills_up_during_a_save_keeps_the_one_before_whole(small_disk):
    checkpoints = Checkpoints(Attempt(small_disk, {"seed": 1}), interval_seconds=0)
    checkpoints.save(Weights(), history(1))
    with pytest.raises(WorkspaceError) as caught:
        checkpoints.save(Weights(), history(2))
    assert_kept(caught.value, small_disk)


def test_a_limit_that_is_met_during_a_save_keeps_the_one_before_whole(tmp_path):
    checkpoints = Checkpoints(Attempt(tmp_path, {"seed": 1}), interval_seconds=0)
    checkpoints.save(Weights(), history(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(WorkspaceError) as caught:
            checkpoints.save(Weights(), history(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert_kept(caught.value, tmp_path)
