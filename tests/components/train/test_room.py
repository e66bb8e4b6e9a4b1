"""Memory that will not be enough is told before any of it is taken."""

import resource

import pytest

from components.core.errors import WorkspaceError
from components.core.stage import Attempt
from components.model.config import gpt_2_small, seed
from components.train import TrainConfig, train
from components.train.room import available_bytes, needed_bytes, num_parameters
from tests.components.train.world import CONFIG, MODEL, make_world


def test_sizes_beyond_the_memory_are_refused_without_taking_any(tmp_path):
    huge = {**MODEL, "width": 65_536, "num_layers": 1_000}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WorkspaceError, match=r"GB of memory left(.|\n)*17,\d+,\d+,\d+,\d+ parameters") as caught:
        train(TrainConfig(**{**CONFIG, "model": huge}), **make_world(tmp_path), output=tmp_path / "out",
              live=lambda *_: None, attempt=Attempt(tmp_path, {}))  # fmt: skip
    assert caught.value.where == "train, before the first step"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


def test_more_parameters_tokens_and_copies_need_more():
    one = needed_bytes(seed(), (8, 513), "bfloat16")
    assert num_parameters(gpt_2_small()) * 16 < needed_bytes(gpt_2_small(), (1, 1025), "bfloat16")
    assert one < needed_bytes(seed(), (8, 513), "float32")
    assert one < needed_bytes(seed(), (16, 513), "bfloat16")
    assert needed_bytes(seed(), (8, 513), "bfloat16", num_kept=1) - one == 12 * num_parameters(seed())


def test_the_memory_that_is_left_is_that_of_the_machine_within_the_limit_of_the_group(tmp_path):
    memory, group = tmp_path / "meminfo", tmp_path / "group"
    memory.write_text("MemTotal:       8000 kB\nMemAvailable:   5000 kB\n")
    group.mkdir()
    assert available_bytes(memory, group) == 5_120_000
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("3000000\n")
    assert available_bytes(memory, group) == 5_120_000
    (group / "memory.max").write_text("4000000\n")
    assert available_bytes(memory, group) == 1_000_000
    (group / "memory.stat").write_text("anon 2\ninactive_file 500000\n")
    assert available_bytes(memory, group) == 1_500_000
