"""What holds of the model whatever its weights are."""

import os

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from components.model import ModelConfig, formulas
from components.model.scoring import token_losses
from components.model.transformer import Transformer
from tests.components.model.world import SIZES, make_model, make_tokens


@pytest.mark.parametrize("compute_type", ["float32", "bfloat16"])
def test_a_later_token_never_changes_an_earlier_logit(compute_type):
    model, tokens = make_model(compute_type=compute_type), make_tokens(1, 12)
    before = model(tokens).numpy()
    for position in range(12):
        changed = tokens.copy()
        changed[0, position:] = (changed[0, position:] + 1 + position) % SIZES.vocabulary_size
        after = model(changed).numpy()
        np.testing.assert_array_equal(after[0, :position], before[0, :position])
        assert not np.array_equal(after[0, position], before[0, position])


@pytest.mark.parametrize("num_sequences", [1, 3, 400])
def test_the_losses_of_tokens_average_to_the_training_loss(num_sequences):
    model, windows = make_model(), make_tokens(num_sequences, 13)
    losses = token_losses(model, windows)
    training = model.training_loss(windows, formulas)
    assert losses.shape == (num_sequences, 12)
    assert losses.mean() == pytest.approx(float(training), rel=1e-5)


def test_bfloat16_computes_the_same_within_its_rounding():
    tokens = make_tokens(2, 12)
    exact, rounded = (make_model(compute_type=t)(tokens).numpy() for t in ("float32", "bfloat16"))
    assert rounded.dtype == np.float32
    assert 0 < np.abs(exact - rounded).max() < 0.02 * np.abs(exact).max()


def test_weights_are_float32_and_all_of_them_are_named():
    model = Transformer(SIZES, seed=1, compute_type="bfloat16")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert {id(w) for w in model.named_weights.values()} == {id(w) for w in model.weights}
    assert len(model.trainable_variables) == len(model.named_weights)


def test_equal_seeds_give_equal_first_weights_and_others_do_not():
    first, same, other = (Transformer(SIZES, seed=seed).named_weights for seed in (1, 1, 2))
    for name, weight in first.items():
        np.testing.assert_array_equal(weight.numpy(), same[name].numpy())
    assert not np.array_equal(first["token_embedding"].numpy(), other["token_embedding"].numpy())


def test_first_weights_are_those_of_gpt_2():
    weights = Transformer(ModelConfig(width=64, num_layers=2, context_tokens=64), seed=1).named_weights
    assert weights["token_embedding"].numpy().std() == pytest.approx(0.02, rel=0.02)
    assert weights["block_1.attention_output.kernel"].numpy().std() == pytest.approx(0.01, rel=0.05)
    assert not weights["block_0.feed_forward_in.bias"].numpy().any()
    assert (weights["final_norm.gamma"].numpy() == 1).all()


def test_no_file_in_a_home_folder_can_change_what_keras_does():
    assert os.environ["KERAS_HOME"] == os.devnull
    assert (keras.backend.backend(), keras.config.floatx()) == ("tensorflow", "float32")


@pytest.mark.parametrize(
    "values",
    [{"width": 130, "num_heads": 4}, {"num_layers": 0}, {"vocabulary_size": 1}, {"dropout": 1.0},
     {"num_key_value_heads": 3},
     {"width": 12, "num_heads": 4, "positions": "rotary"}, {"norm": "none"}, {"width": 64.0},
     {"depth": 4}],
)  # fmt: skip
def test_sizes_that_make_no_model_are_refused(values):
    with pytest.raises(ValidationError):
        ModelConfig(**values)
