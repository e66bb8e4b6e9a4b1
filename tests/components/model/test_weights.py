"""A model on disk."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from components.core.errors import InputError
from components.model.weights import CONFIG, WEIGHTS, load_model, read_config, save_model
from tests.components.model.world import SIZES, make_model, make_tokens


@pytest.fixture
def folder(tmp_path):
    save_model(make_model(), tmp_path)
    return tmp_path


def test_a_saved_model_comes_back_the_same(folder, tmp_path):
    model, again = make_model(), load_model(folder)
    tokens = make_tokens(2, 12)
    np.testing.assert_array_equal(again(tokens).numpy(), model(tokens).numpy())
    (tmp_path / "copy").mkdir()
    save_model(again, tmp_path / "copy")
    for name in (CONFIG, WEIGHTS):
        assert (folder / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()


def test_the_sizes_can_be_read_without_the_weights(folder):
    (folder / WEIGHTS).unlink()
    assert read_config(folder) == SIZES
    with pytest.raises(InputError):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("final_norm.beta"), "no weight final_norm.beta"),
        (lambda w: w.update(extra=np.zeros(1, np.float32)), "an unknown weight extra"),
        (lambda w: w.update({"final_norm.beta": np.zeros(17, np.float32)}), "final_norm.beta of F32 (17,)"),
        (lambda w: w.update({"final_norm.beta": np.zeros(16, np.float16)}), "final_norm.beta of F16"),
        (lambda w: w.update({"final_norm.beta": np.full(16, np.nan, np.float32)}), "not finite"),
    ],
)
def test_weights_that_are_not_the_models_are_refused(folder, change, told):
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert told in caught.value.found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(activation="relu"), "activation"),
        (lambda c: c.update(num_layers=-1), "num_layers"),
        (lambda c: c.update(num_heads=3), "multiple of num_heads"),
        (lambda c: c.update(width="16"), "width"),
        (lambda c: c.update(num_layers=1), "an unknown weight block_1"),
        (lambda c: c.update(context_tokens=13), "position_embedding"),
    ],
)
def test_a_config_that_is_not_the_models_is_refused(folder, change, told):
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert told in caught.value.found


@pytest.mark.parametrize("content", [b"", b"\x08" * 100, b"PK\x03\x04", None])
def test_a_file_that_is_no_safetensors_file_is_refused(folder, content):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-8] if content is None else content)
    with pytest.raises(InputError):
        load_model(folder)
