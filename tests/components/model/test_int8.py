"""Weights of one byte: how wrong they are, and what that costs."""

import numpy as np
import pytest

from components.model.int8 import Quantised, num_bytes, quantise, widen
from tests.components.model.world import OTHER, SIZES, make_model, make_tokens


def weights_of(model):
    return {name: weight.numpy() for name, weight in model.named_weights.items()}


@pytest.mark.parametrize("config", [SIZES, OTHER], ids=["GPT-2", "other"])
def test_no_weight_is_wrong_by_more_than_half_the_scale_of_its_output_channel(config):
    weights = weights_of(make_model(config=config))
    weights["block_0.query_key_value.kernel"][:, 3] = 0
    small, wide = quantise(weights), widen(quantise(weights))
    assert wide.keys() == weights.keys()
    for name, array in weights.items():
        if array.ndim < 2 or name == "position_embedding":
            assert wide[name] is array
            continue
        channels = -1 if name.endswith("kernel") else 0
        assert small[name].scales.size == array.shape[channels]
        assert np.abs(small[name].numbers).max() == 127
        assert (np.abs(wide[name] - array) <= 0.5001 * small[name].scales).all(), name
    assert wide["block_0.query_key_value.kernel"][:, 3].tolist() == [0] * 16


def test_quantising_again_changes_nothing():
    once = widen(quantise(weights_of(make_model())))
    for name, array in widen(quantise(once)).items():
        np.testing.assert_allclose(array, once[name], rtol=1e-6, err_msg=name)


def test_a_model_of_bytes_is_smaller_and_predicts_almost_the_same():
    model, tokens = make_model(), make_tokens(8, 12)
    before, weights = model(tokens).numpy(), weights_of(model)
    small = quantise(weights)
    assert sum(isinstance(array, Quantised) for array in small.values()) == 1 + 4 * SIZES.num_layers
    assert num_bytes(small) < 0.5 * num_bytes(weights)  # the tiny model has many scales
    for name, weight in model.named_weights.items():
        weight.assign(widen(small)[name])
    after = model(tokens).numpy()
    assert 0 < (after - before).std() < 0.02 * before.std()
