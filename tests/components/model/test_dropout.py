"""Dropout drops its share, by the numbers of its seed alone, and only while a model learns."""

import numpy as np
import pytest
import tensorflow as tf

from components.model.backends import tensorflow_kernels
from components.model.dropout import Dropout
from components.model.scoring import token_losses
from components.train.backends.tensorflow import TensorFlowStep
from tests.components.model.world import SIZES, make_model, make_tokens

SHARE = 0.3
DROPPING = SIZES.model_copy(update={"dropout": SHARE})


def dropped(seed, shape=(200, 500), place=0):
    drop, ones = Dropout(SHARE, seed), tf.ones(shape)
    return [drop(ones) for _ in range(place + 1)][place].numpy()


def test_a_share_becomes_0_and_the_rest_larger_by_as_much():
    found = dropped([1, 2, 3])
    assert np.unique(found).tolist() == pytest.approx([0, 1 / (1 - SHARE)])
    deviation = (SHARE * (1 - SHARE) / found.size) ** 0.5
    assert (found == 0).mean() == pytest.approx(SHARE, abs=4 * deviation)
    ones = tf.ones((2, 3))
    assert Dropout(0.0, [1])(ones) is ones


def test_each_number_of_the_seed_and_the_place_in_the_model_give_another_choice():
    first = dropped([1, 2, 3])
    np.testing.assert_array_equal(first, dropped([1, 2, 3]))
    others = [dropped(seed) for seed in ([9, 2, 3], [1, 9, 3], [1, 2, 9])] + [dropped([1, 2, 3], place=1)]
    for other in others:
        assert ((first == 0) & (other == 0)).mean() == pytest.approx(SHARE**2, abs=0.01)  # as if by chance


def test_a_gradient_goes_through_what_was_kept_alone():
    x = tf.ones((50, 50))
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = Dropout(SHARE, [1])(x)
    np.testing.assert_array_equal(tape.gradient(found, x), found)


def test_a_model_that_is_measured_drops_nothing():
    windows = make_tokens(3, 13)
    np.testing.assert_array_equal(
        token_losses(make_model(config=DROPPING), windows), token_losses(make_model(), windows)
    )


def test_the_loss_of_a_model_that_drops_is_near_the_one_of_the_model_and_another_at_each_step():
    model, windows = make_model(config=DROPPING), make_tokens(8, 13)
    losses = [
        float(model.training_loss(windows, tensorflow_kernels, Dropout(SHARE, [1, step, 0]))) for step in range(20)
    ]
    assert len(set(losses)) == 20
    assert np.mean(losses) == pytest.approx(float(token_losses(model, windows).mean()), rel=0.2)


def test_a_step_taken_again_from_the_same_state_drops_the_same():
    windows = make_tokens(4, 13)
    step = TensorFlowStep(make_model(config=DROPPING), weight_decay=0.1, clip_norm=1.0)
    step(windows, 0.01)
    state = step.state
    second = step(windows, 0.01)
    other = TensorFlowStep(make_model(seed=5, config=DROPPING), weight_decay=0.1, clip_norm=1.0)
    other.restore(state)
    assert other(windows, 0.01) == second
    for name, array in step.state.items():
        np.testing.assert_array_equal(array, other.state[name])
