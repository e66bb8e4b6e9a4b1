"""A run that was stopped, killed or robbed of a checkpoint ends with the bits of the run that never was."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import GateError, Interrupted
from components.core.files import canonical_json, sha256_bytes
from components.core.stage import Attempt
from components.model import ModelConfig
from components.model.transformer import Transformer
from components.train import TrainConfig
from components.train import checkpoints as checkpoints_module
from components.train.backends import StepResult
from components.train.backends.tensorflow import TensorFlowStep
from components.train.checkpoints import MANIFEST, REFUSED, STATE, Checkpoints
from components.train.data import open_data
from components.train.lessons import WindowLessons
from components.train.loop import run
from tests.components.train.world import CONFIG, MODEL, make_world

ROOT = Path(__file__).resolve().parents[3]
NUM_STEPS = 6
SIZES = {**MODEL, "num_layers": 2}  # with one layer, variables of two could go under one name unseen


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(config_of(), **make_world(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def warm():
    """A model with its step, traced once, and the state of its first weights."""
    model = Transformer(ModelConfig(**SIZES), seed=1)
    step = TensorFlowStep(model, weight_decay=0.1, clip_norm=1.0)
    return model, step, step.state


@pytest.fixture(scope="module")
def whole(data, warm, tmp_path_factory):
    """History and last state of a run that nothing happened to."""
    return attempt(data, warm, tmp_path_factory.mktemp("whole"))


def config_of(**values):
    return TrainConfig(**{**CONFIG, "model": SIZES, "num_steps": NUM_STEPS, **values})


def checkpoints_in(folder, identity=None, interval_seconds=0.0):
    folder.mkdir(exist_ok=True)
    attempt = Attempt(folder, identity or {"params": {"seed": 1}, "inputs": {"tokens": "aa"}})
    return Checkpoints(attempt, interval_seconds=interval_seconds)


def attempt(data, warm, folder, identity=None, live=lambda *_: None, interval_seconds=0.0, **values):
    """An attempt from the first weights; what it goes on from is what is in ``folder``."""
    model, step, first = warm
    step.restore(first)
    checkpoints = checkpoints_in(folder, identity, interval_seconds)
    history = run(config_of(**values), model, step, WindowLessons(config_of(**values), data), live, checkpoints, 1e9)
    return history, step.state


def stop_after(num_steps):
    def live(step, _):
        if step == num_steps:
            os.kill(os.getpid(), signal.SIGTERM)

    return live


def assert_same(found, expected):
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    for name, array in expected[1].items():
        assert array.tobytes() == found[1][name].tobytes(), name


def names(folder):
    return sorted(path.name[:13] for path in folder.glob("step-*"))


def test_the_state_holds_every_variable_under_a_name_of_its_own(warm):
    """A weight has two moments; beside them there are numbers, such as the step's own."""
    model, step, _ = warm
    arrays = [array for array in step.state.values() if array.ndim]
    assert len(arrays) == 3 * len(model.weights)
    assert sum(array.size for array in arrays) == 3 * model.count_params()


@pytest.mark.slow
def test_killed_at_every_step_and_at_every_point_of_a_save_nothing_differs(tmp_path):
    command = [sys.executable, "-m", "tests.components.train.kills", str(tmp_path)]
    # Each attempt compiles for itself: what is compared is attempts with attempts, so that quick code will do.
    environment = {**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=600, stderr=subprocess.DEVNULL)
    assert int((tmp_path / "num_points").read_text()) > 30
    for kind in ("float32", "bfloat16"):
        for killed, reference in (("steps", "short"), ("points", "long")):
            found, expected = (json.loads((tmp_path / kind / f"{n}.json").read_text()) for n in (killed, reference))
            assert found == expected
            batches, given = (
                [tuple(json.loads(line)) for line in (tmp_path / kind / f"{n}.log").read_text().splitlines()]
                for n in (killed, reference)
            )
            assert len(batches) > len(given)
            assert set(batches) == set(given)


def test_a_request_to_stop_saves_tells_and_is_gone_on_from(data, warm, whole, tmp_path):
    with pytest.raises(Interrupted, match="after step 3") as caught:
        attempt(data, warm, tmp_path / "a", live=stop_after(2), interval_seconds=1000)
    assert caught.value.exit_code == 9
    assert names(tmp_path / "a") == ["step-00000003"]
    assert_same(attempt(data, warm, tmp_path / "a", interval_seconds=1000), whole)


def test_the_two_most_recent_and_the_best_are_kept(data, warm, tmp_path, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.5, 2.2, 2.1])
    monkeypatch.setattr(WindowLessons, "measure", lambda *_: {"validation_loss": next(losses)})
    attempt(data, warm, tmp_path / "a", validation_interval_steps=1)
    assert names(tmp_path / "a") == ["step-00000002", "step-00000005", "step-00000006"]


def flip(path):
    bytes_ = bytearray(path.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    path.write_bytes(bytes_)


DAMAGES = {
    "truncated": lambda folder: os.truncate(folder / STATE, (folder / STATE).stat().st_size // 2),
    "flipped": lambda folder: flip(folder / STATE),
    "flipped manifest": lambda folder: flip(folder / MANIFEST),
    "missing file": lambda folder: (folder / "history.jsonl").unlink(),
    "missing manifest": lambda folder: (folder / MANIFEST).unlink(),
    "extra file": lambda folder: (folder / "more").write_text("?"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(damage, data, warm, whole, tmp_path, capsys):
    folder = tmp_path / "a"
    with pytest.raises(Interrupted):
        attempt(data, warm, folder, live=stop_after(3))
    newest = max(folder.glob("step-*"))
    DAMAGES[damage](newest)
    assert_same(attempt(data, warm, folder), whole)
    told = capsys.readouterr().err
    assert f"checkpoint {newest.name} is refused" in told
    assert "goes on after step 3" in told
    assert (folder / REFUSED / newest.name).exists()


def test_without_a_sound_checkpoint_the_run_starts_again(data, warm, whole, tmp_path, capsys):
    with pytest.raises(Interrupted):
        attempt(data, warm, tmp_path / "a", live=stop_after(3))
    for folder in (tmp_path / "a").glob("step-*"):
        flip(folder / STATE)
    assert_same(attempt(data, warm, tmp_path / "a"), whole)
    assert capsys.readouterr().err.count("is refused") == 2


@pytest.mark.parametrize(
    ("other", "told"),
    [({"params": {"seed": 2}, "inputs": {"tokens": "aa"}}, "params.seed: 1, now 2"),
     ({"params": {"seed": 1}, "inputs": {"tokens": "bb"}}, 'inputs.tokens: "aa", now "bb"')],
)  # fmt: skip
def test_a_checkpoint_of_other_work_is_refused_with_the_difference(other, told, data, warm, whole, tmp_path, capsys):
    with pytest.raises(Interrupted):
        attempt(data, warm, tmp_path / "a", live=stop_after(3))
    assert_same(attempt(data, warm, tmp_path / "a", identity=other), whole)
    assert told in capsys.readouterr().err


def test_a_checkpoint_of_a_model_of_another_shape_is_refused(data, warm, whole, tmp_path, capsys):
    """Its digests are right, so only the names, types and shapes of the variables can tell."""
    with pytest.raises(Interrupted):
        attempt(data, warm, tmp_path / "a", live=stop_after(3))
    from safetensors.numpy import load_file, save_file

    for folder in (tmp_path / "a").glob("step-*"):
        state = load_file(folder / STATE)
        save_file({**state, "model.token_embedding": state["model.token_embedding"][:-1]}, folder / STATE)
        manifest = json.loads((folder / MANIFEST).read_bytes())
        manifest["files"][STATE] = sha256_bytes((folder / STATE).read_bytes())
        (folder / MANIFEST).write_bytes(canonical_json(manifest))
        folder.rename(folder.with_name(folder.name[:14] + sha256_bytes((folder / MANIFEST).read_bytes())[:16]))
    assert_same(attempt(data, warm, tmp_path / "a"), whole)
    assert "model.token_embedding is float32 (299, 16) instead of float32 (300, 16)" in capsys.readouterr().err


class Poisoned:
    """A real step whose loss, or one of whose variables, becomes no number at some step."""

    def __init__(self, step, at, name=None):
        self._step, self._at, self._name, self._num_taken = step, at, name, 0

    @property
    def state(self):
        state = self._step.state
        return state | {self._name: np.full_like(state[self._name], np.inf)} if self._is_poisoned() else state

    def restore(self, state):
        self._step.restore(state)

    def __call__(self, windows, rate, answers):
        self._num_taken += 1
        loss, norm = self._step(windows, rate, answers)
        return StepResult(float("nan") if self._num_taken == self._at and not self._name else loss, norm)

    def _is_poisoned(self):
        return self._name and self._num_taken >= self._at


@pytest.mark.parametrize("name", [None, "model.final_norm.gamma"])
def test_a_number_that_is_not_finite_stops_the_run_and_the_last_good_checkpoint_stays(name, data, warm, tmp_path):
    model, step, first = warm
    step.restore(first)
    folder, lessons = tmp_path / "a", WindowLessons(config_of(), data)
    with pytest.raises(GateError, match="train, step 4"):
        run(config_of(), model, Poisoned(step, 4, name), lessons, lambda *_: None, checkpoints_in(folder), 1e9)
    assert names(folder) == ["step-00000002", "step-00000003"]


def test_a_run_without_a_better_validation_loss_ends_early_with_its_best_weights(data, warm, tmp_path, monkeypatch):
    told = [3.0, 1.0, 2.0, 1.0, 0.5, 0.4]

    def measure(*_):
        states.append({name: array for name, array in warm[1].state.items() if name.startswith("model.")})
        return {"validation_loss": told[len(states) - 1]}

    monkeypatch.setattr(WindowLessons, "measure", measure)
    values = {"validation_interval_steps": 1, "patience_validations": 2}
    states = []
    history, state = attempt(data, warm, tmp_path / "a", **values)
    assert [entry["validation_loss"] for entry in history] == told[:4]
    for name, array in states[1].items():
        np.testing.assert_array_equal(state[name], array)
    states = []
    with pytest.raises(Interrupted):
        attempt(data, warm, tmp_path / "b", live=stop_after(2), **values)
    assert_same(attempt(data, warm, tmp_path / "b", **values), (history, state))


def test_an_average_of_the_weights_is_judged_and_kept_and_resumes_bit_for_bit(data, warm, tmp_path, monkeypatch):
    step, decay, weights, judged = warm[1], 0.7, [], []

    def model_of(state):
        return {name: array for name, array in state.items() if name.startswith("model.")}

    def average(num_steps):
        shares = np.array([(1 - decay) * decay**age for age in range(num_steps)][::-1]) / (1 - decay**num_steps)
        return {name: sum(s * w[name].astype(np.float64) for s, w in zip(shares, weights, strict=False))
                for name in weights[0]}  # fmt: skip

    def measure(*_):
        judged.append((len(weights) + 1, model_of(step.state)))  # the step just taken is told after it was measured
        return {"validation_loss": 1.0}

    monkeypatch.setattr(WindowLessons, "measure", measure)
    values = {"average_decay": decay, "validation_interval_steps": 4}
    found = attempt(data, warm, tmp_path / "a", live=lambda *_: weights.append(model_of(step.state)), **values)
    for num_steps, kept in [*judged, (NUM_STEPS, model_of(found[1]))]:
        for name, expected in average(num_steps).items():
            np.testing.assert_allclose(kept[name], expected, atol=1e-6)
    assert not np.allclose(found[1]["model.token_embedding"], weights[-1]["model.token_embedding"], atol=1e-3)
    for num_steps in (2, 4):
        with pytest.raises(Interrupted):
            attempt(data, warm, tmp_path / "b", live=stop_after(num_steps), **values)
    assert_same(attempt(data, warm, tmp_path / "b", **values), found)


def test_a_request_to_stop_in_the_middle_of_a_save_waits_for_it(data, warm, whole, tmp_path, monkeypatch):
    real = checkpoints_module.sync_folder

    def ask_and_sync(folder):
        os.kill(os.getpid(), signal.SIGTERM)
        real(folder)

    monkeypatch.setattr(checkpoints_module, "sync_folder", ask_and_sync)
    for num_done in (2, 4):  # asked while a step is saved, it stops after the next one
        with pytest.raises(Interrupted):
            attempt(data, warm, tmp_path / "a")
        assert f"step-0000000{num_done}" in names(tmp_path / "a")
    monkeypatch.undo()
    assert_same(attempt(data, warm, tmp_path / "a"), whole)
