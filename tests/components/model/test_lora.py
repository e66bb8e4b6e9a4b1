"""Low-rank adapters: begin as nothing, learn alone, and merge into the kernels."""

import numpy as np
import pytest

from components.core.errors import InputError
from components.model import formulas
from components.model.backends import tensorflow_kernels as kernels
from components.model.lora import Lora, adapt, adapter_shapes, merge, read_adapter, save_adapter
from components.model.weights import load_model, read_weights, save_weights, weight_shapes
from components.train.backends.tensorflow import TensorFlowStep
from tests.components.model.test_formulas import gradients_of
from tests.components.model.world import OTHER, SIZES, make_model, make_tokens

LORA = Lora(rank=3, alpha=6.0)
SOME = Lora(rank=2, alpha=1.0, projections=("query_key_value", "feed_forward_out"))


def weights_of(model):
    return {name: weight.numpy() for name, weight in model.named_weights.items()}


def make_adapted(lora=LORA, **options):
    """An adapted model whose B is random too."""
    model = make_model(**options)
    adapt(model, lora, seed=1)
    random = np.random.default_rng(3)
    for name, weight in model.named_weights.items():
        if name.endswith("lora_b"):
            weight.assign(0.1 * random.standard_normal(weight.shape).astype(np.float32))
    return model


def test_an_adapted_model_begins_as_the_model_that_it_was_made_from():
    tokens, model = make_tokens(2, 12), make_model()
    before = model(tokens).numpy()
    adapt(model, LORA, seed=1)
    np.testing.assert_array_equal(model(tokens).numpy(), before)


@pytest.mark.parametrize("lora", [LORA, SOME], ids=["all", "some"])
@pytest.mark.parametrize("config", [SIZES, OTHER], ids=["GPT-2", "other"])
def test_only_the_adapters_are_trained(lora, config):
    model = make_model(config=config)
    adapt(model, lora, seed=1)
    shapes = {name: tuple(weight.shape) for name, weight in model.trained_weights.items()}
    assert shapes == adapter_shapes(config, lora)
    before, step = weights_of(model), TensorFlowStep(model, weight_decay=0.1, clip_norm=1.0)
    losses = [step(make_tokens(4, 13), 0.05).loss for _ in range(6)]
    assert losses[-1] < losses[0]
    changed = {name for name, array in weights_of(model).items() if not np.array_equal(array, before[name])}
    assert changed == shapes.keys()


@pytest.mark.parametrize(("compute_type", "most"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_merged_is_unmerged_within_rounding(compute_type, most, tmp_path):
    model, tokens = make_adapted(compute_type=compute_type), make_tokens(4, 12)
    assert np.abs(model(tokens).numpy() - make_model(compute_type=compute_type)(tokens).numpy()).std() > 0.05
    save_weights(model.config, merge(weights_of(model), LORA), tmp_path)
    merged = load_model(tmp_path, compute_type)
    found, expected = merged(tokens).numpy(), model(tokens).numpy()
    assert np.abs(found - expected).max() <= most * np.abs(expected).max()


def test_fast_and_plain_gradients_of_adapters_agree():
    model, windows = make_adapted(), make_tokens(4, 13)
    (plain_loss, plain), (fast_loss, fast) = (
        gradients_of(model, windows, by, names=model.trained_weights) for by in (formulas, kernels)
    )
    assert fast_loss == pytest.approx(plain_loss, rel=1e-5)
    for one, other in zip(plain, fast, strict=True):
        assert np.linalg.norm(one - other) <= 1e-4 * np.linalg.norm(one)


def test_an_adapter_comes_back_from_its_files_and_a_foreign_one_is_refused(tmp_path):
    weights = weights_of(make_adapted(SOME))
    save_adapter(weights, SOME, tmp_path)
    lora, arrays = read_adapter(tmp_path, SIZES)
    assert lora == SOME
    assert arrays.keys() == adapter_shapes(SIZES, SOME).keys()
    base = weights_of(make_model())
    for name, array in merge({**base, **arrays}, lora).items():
        np.testing.assert_array_equal(array, merge(weights, SOME)[name])
    with pytest.raises(InputError, match="lora_"):
        read_adapter(tmp_path, SIZES.model_copy(update={"width": 32}))
    (tmp_path / "adapter.json").write_text('{"rank": 0}')
    with pytest.raises(InputError, match=r"adapter\.json"):
        read_adapter(tmp_path, SIZES)


def test_weights_of_an_adapted_model_are_no_plain_model(tmp_path):
    save_weights(SIZES, weights_of(make_adapted()), tmp_path)
    with pytest.raises(InputError, match="unknown weight block_0"):
        read_weights(tmp_path, weight_shapes(SIZES))
