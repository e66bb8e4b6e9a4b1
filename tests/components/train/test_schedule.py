"""What a step is given, and what a run refuses before its first one."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from components.core.documents import document_id
from components.core.errors import InputError, ParamsError
from components.core.tokens import TokenSplit
from components.train import TrainConfig
from components.train.data import open_data
from components.train.processor import processor_flags, resolve_compute_type
from components.train.schedule import learning_rate, validation_windows, windows_of_step
from tests.components.pack.world import write_checks
from tests.components.tokenizer.world import make_rows
from tests.components.train.world import CONFIG, MODEL, make_world, write_tokens


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def test_the_learning_rate_rises_straight_and_falls_along_a_cosine():
    config = TrainConfig(num_steps=110, warmup_steps=10, learning_rate=0.1, final_learning_rate=0.02)
    rates = [learning_rate(step, config) for step in range(110)]
    np.testing.assert_allclose(rates[:10], np.linspace(0.01, 0.1, 10))
    np.testing.assert_allclose(rates[10:], [0.06 + 0.04 * math.cos(math.pi * n / 100) for n in range(100)])
    assert learning_rate(0, TrainConfig(warmup_steps=0, learning_rate=0.1)) == 0.1


def test_a_plateau_ends_in_a_straight_fall():
    config = TrainConfig(num_steps=20, warmup_steps=2, schedule="constant_then_linear", decay_steps=10,
                         learning_rate=0.1, final_learning_rate=0.0)  # fmt: skip
    rates = [learning_rate(step, config) for step in range(20)]
    np.testing.assert_allclose(rates, [0.05, *[0.1] * 9, *np.linspace(0.1, 0.01, 10)])


def test_every_epoch_sees_every_window_once_in_an_order_of_its_own():
    steps = [windows_of_step(step, seed=1, batch_windows=4, num_windows=10).tolist() for step in range(5)]
    order = [window for step in steps for window in step]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


def test_the_windows_of_a_step_depend_on_seed_and_step_alone():
    def windows(step, seed):
        return windows_of_step(step, seed=seed, batch_windows=4, num_windows=1000).tolist()

    late = windows(123, 1)
    assert windows(7, 1) != windows(7, 2)
    assert windows(123, 1) == late
    assert np.ptp(late) > 10


@pytest.mark.parametrize(("wanted", "held", "found"), [(3, 11, [0, 5, 10]), (9, 2, [0, 1]), (1, 5, [0])])
def test_validation_windows_are_spread_over_the_split(wanted, held, found):
    assert validation_windows(wanted, held).tolist() == found


def test_windows_with_a_quarantined_document_are_never_read(world):
    data = open_data(TrainConfig(**CONFIG), **world)
    split = TokenSplit.open(world["tokens"], "train")
    bad = {window for window in range(split.num_windows) if 5 in split.documents_of(window)}
    assert bad
    assert set(data.train.positions.tolist()) == set(range(split.num_windows)) - bad
    assert data.num_windows - data.num_usable == len(bad)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model": {**MODEL, "vocabulary_size": 299}}, "train.model.vocabulary_size"),
        ({"model": {**MODEL, "context_tokens": 17}}, "train.model.context_tokens"),
        ({"model": {**MODEL, "context_tokens": 8}}, "train.model.context_tokens"),
        ({"batch_windows": 10_000}, "train.batch_windows"),
    ],
)
def test_values_that_do_not_fit_the_tokens_are_refused_by_name(world, values, told):
    with pytest.raises(ParamsError) as caught:
        open_data(TrainConfig(**{**CONFIG, **values}), **world)
    assert caught.value.where == f"params.yaml, {told}"


@pytest.mark.parametrize("empty", ["train", "validation"])
def test_a_split_without_windows_is_refused(tmp_path, empty):
    rows = [(split, text) for split, text in make_rows() if split != empty]
    tokens, checks = write_tokens(tmp_path, rows), write_checks(tmp_path / "checks")
    with pytest.raises(InputError, match=f"split {empty}"):
        open_data(TrainConfig(**CONFIG), tokens=tokens, checks=checks)


def test_checks_of_other_tokens_are_refused(world, tmp_path):
    checks = write_checks(tmp_path / "checks", document_id("elsewhere", "1"))
    with pytest.raises(InputError, match="not among the tokens"):
        open_data(TrainConfig(**CONFIG), tokens=world["tokens"], checks=checks)


@pytest.mark.parametrize(
    "values",
    [{"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"warmup_steps": 150}, {"num_steps": 0},
     {"final_learning_rate": 0.1}, {"clip_norm": 0.0}, {"decay_steps": 3},
     {"schedule": "constant_then_linear"}, {"num_accumulations": 3}, {"z_weight": -0.1},
     {"compute_type": "float16"}, {"steps": 5}],
)  # fmt: skip
def test_values_that_make_no_run_are_refused(values):
    with pytest.raises(ValidationError):
        TrainConfig(**values)


def test_bfloat16_is_taken_where_the_processor_has_it():
    able, unable = {"avx2", "amx_bf16"}, {"avx2"}
    assert resolve_compute_type("auto", able) == resolve_compute_type("bfloat16", able) == "bfloat16"
    assert resolve_compute_type("auto", unable) == resolve_compute_type("float32", able) == "float32"
    with pytest.raises(ParamsError, match="bfloat16, on a processor without it"):
        resolve_compute_type("bfloat16", unable)


def test_the_kernel_tells_what_the_processor_can_do(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert processor_flags(path) == {"fpu", "avx2", "amx_bf16"}
    assert processor_flags(tmp_path / "none") == set()
