"""What every layer of the model keeps, tried on each class of layer that ``transformer`` holds, under each config."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.model import transformer
from components.model.backends import tensorflow_kernels
from components.model.config import character, debug, gpt_2_small, llama_like, seed
from components.model.transformer import Block, Norm, Projection, Transformer
from components.model.weights import weight_shapes
from tests.components.model.world import OTHER, SIZES

WIDTH = SIZES.width
MAKERS = {
    Norm: lambda config, compute_type: Norm(config, compute_type, "norm"),
    Projection: lambda config, compute_type: Projection(config.width, 24, compute_type, "projection"),
    Block: lambda config, compute_type: Block(config, compute_type, "block"),
}
LAYERS = [kind for _, kind in inspect.getmembers(transformer, inspect.isclass)
          if issubclass(kind, keras.layers.Layer) and kind.__module__ == transformer.__name__
          and not issubclass(kind, keras.Model)]  # fmt: skip
EACH = pytest.mark.parametrize("kind", LAYERS)
CONFIGS = pytest.mark.parametrize("config", [SIZES, OTHER], ids=["GPT-2", "other"])


def make_layer(kind, config, compute_type="float32"):
    layer, random = MAKERS[kind](config, compute_type), np.random.default_rng(3)
    layer(np.zeros((1, 2, WIDTH), np.float32))
    for weight in layer.weights:
        weight.assign(0.5 * random.standard_normal(weight.shape) + (weight.name == "gamma"))
    return layer


def make_states(num_tokens=7):
    return np.random.default_rng(5).standard_normal((2, num_tokens, WIDTH)).astype(np.float32)


def numpy_of(tensor):
    return tf.cast(tensor, tf.float32).numpy()


@EACH
@CONFIGS
def test_sequences_and_tokens_keep_their_places(kind, config):
    found = make_layer(kind, config)(make_states())
    assert tuple(found.shape[:2]) == (2, 7)
    alone = make_layer(kind, config)(make_states()[:1])
    np.testing.assert_allclose(numpy_of(found)[:1], numpy_of(alone), atol=2e-5)


@EACH
@CONFIGS
def test_a_later_token_changes_nothing_earlier(kind, config):
    layer, states = make_layer(kind, config), make_states()
    changed = states.copy()
    changed[:, 4:] += 1 + np.arange(WIDTH)
    before, after = numpy_of(layer(states)), numpy_of(layer(changed))
    np.testing.assert_allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert np.abs(before[:, 4:] - after[:, 4:]).max() > 0.01


@EACH
@CONFIGS
def test_gradients_are_the_finite_differences(kind, config):
    layer, states = make_layer(kind, config), tf.constant(make_states())
    takes_kernels = "by" in inspect.signature(layer.call).parameters
    options = {"by": tensorflow_kernels} if takes_kernels else {}
    pull = np.random.default_rng(6).standard_normal(layer(states).shape).astype(np.float32)

    def total(x):
        return tf.reduce_sum(layer(x, **options) * pull)

    with tf.GradientTape() as tape:
        tape.watch(states)
        value = total(states)
    weights = [weight.value for weight in layer.trainable_weights]
    gradients = tape.gradient(value, [states, *weights])
    direction = np.random.default_rng(7).standard_normal(states.shape).astype(np.float32)
    assert_slope(lambda h: total(states + h * direction), np.sum(gradients[0].numpy() * direction))
    for weight, gradient in zip(weights, gradients[1:], strict=True):
        check_weight(weight, gradient, lambda: total(states))


def check_weight(weight, gradient, total):
    kept, direction = weight.numpy(), np.random.default_rng(8).standard_normal(weight.shape).astype(np.float32)

    def moved(h):
        weight.assign(kept + h * direction)
        return total()

    assert_slope(moved, np.sum(tf.convert_to_tensor(gradient).numpy() * direction))
    weight.assign(kept)


def assert_slope(function, told, step=3e-3):
    """Central differences in float32: a step small enough for the curve, large enough for the rounding."""
    measured = (float(function(step)) - float(function(-step))) / (2 * step)
    assert told == pytest.approx(measured, rel=0.02, abs=0.05)


@EACH
@CONFIGS
def test_bfloat16_is_float32_within_its_rounding(kind, config):
    exact, rounded = (numpy_of(make_layer(kind, config, t)(make_states())) for t in ("float32", "bfloat16"))
    assert 0 < np.abs(exact - rounded).max() < 0.03 * np.abs(exact).max()


@EACH
@CONFIGS
def test_weights_carry_all_that_a_layer_is(kind, config):
    one, other = make_layer(kind, config), MAKERS[kind](config, "float32")
    other(np.zeros((1, 2, WIDTH), np.float32))
    assert {weight.dtype for weight in one.weights} == {"float32"}
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(numpy_of(one(make_states())), numpy_of(other(make_states())))


@pytest.mark.parametrize("config", [debug(), seed(), character(), llama_like()], ids=lambda c: str(c.width) + c.norm)
def test_the_shapes_in_a_file_are_those_of_the_model(config):
    weights = Transformer(config, seed=1).named_weights
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == weight_shapes(config)


def test_gpt_2_has_its_number_of_weights():
    biases_of_attention = 12 * (3 * 768 + 768)
    assert sum(map(np.prod, weight_shapes(gpt_2_small()).values())) == 124_439_808 - biases_of_attention
