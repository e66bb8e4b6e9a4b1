"""Fine-tuning for real, at a tiny size: full and by adapters, stopped and gone on with."""

import json

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.files import list_files, sha256_file
from components.core.stage import Attempt
from components.model import ModelConfig
from components.model.lora import merge, read_adapter
from components.model.weights import load_model, read_weights, weight_shapes
from components.train import FinetuneConfig, finetune
from tests.components.train.finetune_world import CONFIG, make_world
from tests.components.train.world import MODEL

LORA = {"method": "lora", "lora": {"rank": 2, "alpha": 4.0, "projections": ("query_key_value", "feed_forward_in")}}
SIZES = ModelConfig(**MODEL)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def finetune_into(folder, world, live=lambda *_: None, **values):
    folder.mkdir()
    attempt = Attempt(folder.with_name(f"{folder.name}-attempt"), {})
    attempt.folder.mkdir(exist_ok=True)
    config = FinetuneConfig(**{**CONFIG, **values})
    return finetune(config, **world, output=folder, live=live, attempt=attempt, key="both")


def read_history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def digests(folder):
    return {name: sha256_file(folder / name) for name in list_files(folder)}


def test_a_model_learns_to_answer_and_tells_how(world, tmp_path):
    folder = tmp_path / "out"
    report = finetune_into(folder, world, num_steps=60, validation_interval_steps=20, dropout=0.1)
    history = read_history(folder)
    assert history[-1]["validation_loss"] < history[19]["validation_loss"] < history[0]["loss"] - 1
    mean = (history[-1]["validation_loss_sort"] + history[-1]["validation_loss_copy"]) / 2
    assert report.metrics["validation_loss"] == history[-1]["validation_loss"] == pytest.approx(mean)
    assert report.books.received == report.books.kept + 2
    files = ["applications/copy.json", "applications/sort.json", "history.jsonl", "model.json", "page.html",
             "processor.json", "weights.safetensors"]  # fmt: skip
    assert list(list_files(folder)) == files
    assert load_model(folder).config == SIZES
    assert "sort × 1, copy × 1" in (folder / "page.html").read_text()


def test_adapters_are_trained_alone_and_saved_beside_the_merged_model(world, tmp_path):
    finetune_into(tmp_path / "a", world, num_steps=40, learning_rate=0.03, **LORA)
    history = read_history(tmp_path / "a")
    assert history[-1]["validation_loss"] < history[0]["loss"]
    lora, adapter = read_adapter(tmp_path / "a", SIZES)
    base, merged = (read_weights(folder, weight_shapes(SIZES)) for folder in (world["model"], tmp_path / "a"))
    for name, array in merge({**base, **adapter}, lora).items():
        np.testing.assert_array_equal(array, merged[name])
        is_adapted = name.endswith(("query_key_value.kernel", "feed_forward_in.kernel"))
        assert np.array_equal(array, base[name]) != is_adapted, name
    assert "low-rank adapters" in (tmp_path / "a" / "page.html").read_text()


class Stop(Exception):
    """An end that no handler expects, as good as a kill between two steps."""


@pytest.mark.parametrize("values", [{"dropout": 0.2, "patience_validations": 3}, LORA], ids=["full", "lora"])
def test_a_run_that_was_cut_off_goes_on_with_the_bits_of_one_that_was_not(values, world, tmp_path, monkeypatch):
    monkeypatch.setenv("PEDIGREE_CHECKPOINT_SECONDS", "0")

    def live(step, _):
        if step == 3:
            raise Stop

    finetune_into(tmp_path / "whole", world, **values)
    with pytest.raises(Stop):
        finetune_into(tmp_path / "cut", world, live=live, **values)
    (tmp_path / "cut").rename(tmp_path / "left")
    seen = []
    finetune_into(tmp_path / "cut", world, live=lambda step, _: seen.append(step), **values)
    assert seen == [4, 5, 6]
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


def test_equal_inputs_give_equal_bytes_and_another_seed_does_not(world, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        finetune_into(tmp_path / name, world, seed=seed, num_steps=3, applications={"sort": 1.0, "copy": 0.5})
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a")["weights.safetensors"] != digests(tmp_path / "c")["weights.safetensors"]


def test_a_tokenizer_that_the_model_was_not_trained_with_is_refused(world, tmp_path):
    from components.model.transformer import Transformer
    from components.model.weights import save_model

    (tmp_path / "small").mkdir()
    save_model(Transformer(SIZES.model_copy(update={"vocabulary_size": 100}), seed=1), tmp_path / "small")
    with pytest.raises(InputError, match="at most 100"):
        finetune_into(tmp_path / "a", {**world, "model": tmp_path / "small"})
