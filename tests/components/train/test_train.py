"""Training for real, at a tiny size."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.core.errors import GateError
from components.core.files import list_files, sha256_file
from components.core.stage import Attempt
from components.model import formulas
from components.model.scoring import token_losses
from components.model.weights import load_model
from components.train import TrainConfig, train
from components.train.backends import StepResult
from components.train.backends.tensorflow import TensorFlowStep
from components.train.data import open_data
from components.train.lessons import WindowLessons
from components.train.loop import take_step
from components.train.throughput import Stopwatch
from tests.components.model.world import make_model, make_tokens
from tests.components.train.world import CONFIG, make_world

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def train_into(folder, world, **values):
    folder.mkdir()
    told, attempt = [], Attempt(folder.with_name(f"{folder.name}-attempt"), {})
    attempt.folder.mkdir()
    config = TrainConfig(**{**CONFIG, **values})

    def live(step, numbers):
        told.append((step, dict(numbers)))

    report = train(config, **world, output=folder, live=live, attempt=attempt)
    return config, report, told


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "out"
    return folder, *train_into(folder, world, num_steps=40, validation_interval_steps=15)


def read_history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_a_model_learns_and_tells_how(trained):
    folder, _, _, told = trained
    history = read_history(folder)
    assert [entry["step"] for entry in history] == list(range(1, 41))
    assert [entry["step"] for entry in history if "validation_loss" in entry] == [15, 30, 40]
    assert history[0]["loss"] == pytest.approx(math.log(300), abs=0.2)
    assert history[-1]["loss"] < history[0]["loss"] - 2
    assert history[-1]["validation_loss"] < history[0]["loss"] - 2
    assert [step for step, _ in told] == list(range(1, 41))
    assert {"loss", "tokens_per_second", "share_of_peak", "seconds_step", "seconds_data"} <= told[0][1].keys()
    assert 0 < told[-1][1]["share_of_peak"] < 1


def test_the_saved_model_is_the_one_that_was_measured(world, trained):
    folder, config, report, _ = trained
    model, data = load_model(folder), open_data(config, **world)
    assert WindowLessons(config, data).measure(model)["validation_loss"] == report.metrics["validation_loss"]
    assert token_losses(model, data.train.read(np.arange(3))).shape == (3, 16)


def test_books_and_metrics_tell_what_was_used(world, trained):
    _, config, report, _ = trained
    data = open_data(config, **world)
    report.books.check("train")
    assert (report.books.received, report.books.kept) == (data.num_windows, data.num_usable)
    assert report.books.dropped["with a quarantined document"] > 0
    assert report.metrics["num_tokens"] == 40 * 3 * 16
    assert report.metrics["num_epochs"] == 40 * 3 / len(data.train)


def test_equal_inputs_give_equal_bytes_and_another_seed_does_not(world, tmp_path):
    runs = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_into(tmp_path / name, world, seed=seed)
        runs[name] = {file: sha256_file(tmp_path / name / file) for file in list_files(tmp_path / name)}
    files = ["history.jsonl", "model.json", "page.html", "processor.json", "weights.safetensors"]
    assert sorted(runs["a"]) == files
    assert runs["a"] == runs["b"]
    assert all(runs["a"][file] != runs["c"][file] for file in ("history.jsonl", "weights.safetensors"))


def test_the_page_shows_the_curve_and_loads_nothing(trained):
    page = (trained[0] / "page.html").read_text()
    assert "<svg" in page
    assert "validation" in page
    assert "src=" not in page


def test_a_number_that_is_not_finite_stops_the_run(world):
    config = TrainConfig(**CONFIG)
    lessons, watch = WindowLessons(config, open_data(config, **world)), Stopwatch(config.model, 1e9)
    for result in (StepResult(math.nan, 1.0), StepResult(1.0, math.inf)):
        with pytest.raises(GateError, match="train, step 3"):
            take_step(config, lambda windows, rate, answers, result=result: result, lessons, 2, watch)


@pytest.mark.parametrize("clip_norm", [1e6, 0.05])
def test_a_step_is_adamw_with_a_clipped_gradient(clip_norm):
    model, decay, windows = make_model(), 0.1, make_tokens(4, 13)
    weights = {name: weight.numpy().astype(np.float64) for name, weight in model.named_weights.items()}
    first, second = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    step = TensorFlowStep(model, weight_decay=decay, clip_norm=clip_norm)
    for number, rate in enumerate((0.01, 0.003), start=1):
        loss, gradients = plain_gradients(model, windows)
        norm = math.sqrt(sum((g**2).sum() for g in gradients.values()))
        told = step(windows, rate)
        assert told == pytest.approx((loss, norm), rel=1e-4)
        for name, weight in weights.items():
            g = gradients[name] * min(1, clip_norm / norm)
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.95 * second[name] + 0.05 * g**2
            m, v = first[name] / (1 - 0.9**number), second[name] / (1 - 0.95**number)
            weight *= 1 - rate * (decay if weight.ndim == 2 else 0)
            weight -= rate * m / (np.sqrt(v) + 1e-8)
            # A gradient of almost nothing has a sign by chance, and Adam goes by the sign.
            is_sure = np.sqrt(v) > 1e-4 * min(norm, clip_norm)
            found = model.named_weights[name].numpy()
            np.testing.assert_allclose(found[is_sure], weight[is_sure], atol=rate * 0.02, err_msg=name)
            weight[:] = found


def plain_gradients(model, windows):
    names, variables = zip(*model.named_weights.items(), strict=True)
    with tf.GradientTape() as tape:
        loss = model.training_loss(windows, formulas)
    found = tape.gradient(loss, [v.value for v in variables])
    arrays = [tf.convert_to_tensor(g).numpy().astype(np.float64) for g in found]
    return float(loss), dict(zip(names, arrays, strict=True))


def test_a_step_in_bfloat16_trains_float32_weights():
    model = make_model(compute_type="bfloat16")
    step, windows = TensorFlowStep(model, weight_decay=0.1, clip_norm=1.0), make_tokens(4, 13)
    losses = [step(windows, 0.01).loss for _ in range(8)]
    assert losses[-1] < losses[0]
    assert {array.dtype for name, array in step.state.items() if name.startswith("model")} == {np.dtype(np.float32)}


RUN = """
import hashlib, sys
import numpy as np
from components.model import ModelConfig
from components.model.transformer import Transformer
from components.train.backends.tensorflow import TensorFlowStep

sizes = ModelConfig(vocabulary_size=1000, context_tokens=300, width=64, num_layers=2)
model = Transformer(sizes, seed=1)
step = TensorFlowStep(model, weight_decay=0.1, clip_norm=1.0)
random = np.random.default_rng(0)
for _ in range(12):
    step(random.integers(0, 1000, (8, 301), np.int32), 0.003)
digest = hashlib.sha256()
for name, array in sorted(step.state.items()):
    digest.update(name.encode() + array.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_processes_threads_and_a_users_keras_file_change_no_bit(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"floatx": "float16", "backend": "jax", "epsilon": 0.1}')
    environments = [{"TF_NUM_INTEROP_THREADS": "1"}, {"TF_NUM_INTEROP_THREADS": "2", "HOME": str(tmp_path)},
                    {"TF_NUM_INTEROP_THREADS": "5", "TF_ENABLE_ONEDNN_OPTS": "0"}]  # fmt: skip
    running = [
        subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, env={**os.environ, **extra}, stdout=subprocess.PIPE)
        for extra in environments
    ]
    digests = {process.communicate(timeout=300)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(digests) == 1
