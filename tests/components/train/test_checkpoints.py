"""A disk that is full while a checkpoint is saved: told, and the checkpoint before it stays whole."""

import resource
import signal

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


def test_a_disk_that_is_full_during_a_save_leaves_the_one_before_whole(tmp_path):
    checkpoints = Checkpoints(Attempt(tmp_path, {"seed": 1}), batch_windows=2, interval_seconds=0)
    checkpoints.save(Weights(), history(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(WorkspaceError, match="no space left on the disk") as caught:
            checkpoints.save(Weights(), history(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "the checkpoint after step 1 is whole" in caught.value.fix
    (kept,) = tmp_path.iterdir()
    manifest, state, entries = read(kept, {"seed": 1})
    assert (manifest.step, manifest.windows_seen, entries) == (1, 2, history(1))
    np.testing.assert_array_equal(state["model.weight"], Weights().state["model.weight"])
