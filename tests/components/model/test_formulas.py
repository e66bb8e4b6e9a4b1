"""Every formula against plain NumPy in float64: as the papers write it, and as training runs it."""

import numpy as np
import pytest
import tensorflow as tf

from components.model import ModelConfig, formulas
from components.model.backends import tensorflow_kernels as kernels
from tests.components.model import world
from tests.components.model.world import OTHER, SIZES, cross_entropy, make_model, make_tokens, reference_logits

RANDOM = np.random.default_rng(7)
BOTH = pytest.mark.parametrize("by", [formulas, kernels], ids=["plain", "fast"])
GROUPED = ModelConfig(width=16, num_heads=4, num_key_value_heads=2, positions="rotary")


@pytest.mark.parametrize("config", [SIZES, OTHER], ids=["GPT-2", "other"])
@pytest.mark.parametrize("num_tokens", [1, 12])
def test_the_model_is_its_formulas(num_tokens, config):
    model, tokens = make_model(config=config), make_tokens(3, num_tokens)
    weights = {name: weight.numpy() for name, weight in model.named_weights.items()}
    np.testing.assert_allclose(model(tokens).numpy(), reference_logits(weights, config, tokens), atol=3e-5)


@BOTH
def test_norms(by):
    x, gamma, beta = RANDOM.standard_normal((2, 5, 8)), RANDOM.standard_normal(8), RANDOM.standard_normal(8)
    check_gradient(lambda x, g, b: by.layer_norm(x, g, b, "float32"), world.layer_norm, [x, gamma, beta])
    check_gradient(lambda x, g: by.rms_norm(x, g, "float32"), world.rms_norm, [x, gamma])


@BOTH
def test_activations_and_the_residual(by):
    x, bias, more = RANDOM.standard_normal((2, 5, 8)), RANDOM.standard_normal(8), RANDOM.standard_normal((2, 5, 8))
    check_gradient(by.gelu, lambda x, b: world.gelu(x + b), [x, bias])
    check_gradient(by.swiglu, world.swiglu, [x])
    check_gradient(by.add, lambda x, y, b: x + y + b, [x, more, bias])
    check_gradient(lambda x, y: by.add(x, y, None), lambda x, y: x + y, [x, more])


@BOTH
@pytest.mark.parametrize("config", [SIZES, GROUPED], ids=["plain heads", "grouped and rotary"])
@pytest.mark.parametrize("num_tokens", [1, 8, 19])
def test_attention(num_tokens, config, by, monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK_QUERIES", 8)
    joined = RANDOM.standard_normal((2, num_tokens, (config.num_heads + 2 * config.key_value_heads) * 4))
    check_gradient(lambda x: by.attend(x, config), lambda x: world.multi_head(x, config), [joined])


@BOTH
@pytest.mark.parametrize("z_weight", [0.0, 0.1])
@pytest.mark.parametrize(("num_sequences", "num_tokens", "block"), [(4, 6, 12), (4, 6, 1024), (5, 6, 7), (1, 3, 1)])
def test_the_loss(num_sequences, num_tokens, block, z_weight, by, monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK_LOGITS", block)
    targets = RANDOM.integers(0, 11, (num_sequences, num_tokens)).astype(np.int32)
    hidden, embedding = RANDOM.standard_normal((num_sequences, num_tokens, 8)), RANDOM.standard_normal((11, 8))
    check_gradient(
        lambda h, e: by.next_token_loss(h, e, targets, z_weight),
        lambda h, e: cross_entropy(h, e, targets, z_weight),
        [hidden, embedding],
    )


@BOTH
@pytest.mark.parametrize("z_weight", [0.0, 0.1])
@pytest.mark.parametrize("block", [7, 1024])
def test_the_loss_with_a_weight_for_each_token(block, z_weight, by, monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK_LOGITS", block)
    targets = RANDOM.integers(0, 11, (4, 6)).astype(np.int32)
    token_weights = (RANDOM.random((4, 6)) * (RANDOM.random((4, 6)) < 0.5)).astype(np.float32)
    hidden, embedding = RANDOM.standard_normal((4, 6, 8)), RANDOM.standard_normal((11, 8))
    check_gradient(
        lambda h, e: by.next_token_loss(h, e, targets, z_weight, token_weights),
        lambda h, e: cross_entropy(h, e, targets, z_weight, token_weights),
        [hidden, embedding],
    )


@pytest.mark.parametrize(("compute_type", "most"), [("float32", 1e-4), ("bfloat16", 0.02)])
def test_only_answers_count_and_fast_as_plain(compute_type, most):
    model, windows = make_model(compute_type=compute_type), make_tokens(4, 13)
    places = np.array([[3, 4, 5], [11, 0, 0], [2, 3, 0], [0, 1, 0]], np.int32)
    weights = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 0]], np.float32) * 12 / 8
    (plain_loss, plain), (fast_loss, fast) = (
        gradients_of(model, windows, by, (places, weights)) for by in (formulas, kernels)
    )
    every = np.take_along_axis(model.losses(windows).numpy(), places, 1)
    assert plain_loss == pytest.approx((every * weights).mean(), rel=most)
    assert fast_loss == pytest.approx(plain_loss, rel=most / 10)
    for name, one, other in zip(model.named_weights, plain, fast, strict=True):
        assert np.linalg.norm(one - other) <= most * np.linalg.norm(one), name
    changed = windows.copy()
    changed[1, 0] = (changed[1, 0] + 1) % SIZES.vocabulary_size  # a prompt: as target it does not count
    changed[3, 5:] = 0  # what fills a row up is not seen by its answer
    assert gradients_of(model, changed, kernels, (places, weights))[0] != fast_loss
    changed[1, 0] = windows[1, 0]
    assert gradients_of(model, changed, kernels, (places, weights))[0] == fast_loss


@BOTH
def test_the_loss_of_a_hopeless_target_is_finite_and_its_gradient_right(by):
    hidden, embedding = tf.constant([[[200.0]]]), tf.constant([[1.0], [-1.0]])
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        loss = by.next_token_loss(hidden, embedding, np.array([[1]], np.int32))
    assert 80 < float(loss) < np.inf
    np.testing.assert_allclose(tape.gradient(loss, hidden).numpy(), [[[2.0]]])


@pytest.mark.parametrize("config", [SIZES, OTHER], ids=["GPT-2", "other"])
def test_the_gradient_of_the_whole_model_is_that_of_its_formulas(config):
    model, tokens = make_model(config=config), make_tokens(2, 13)
    names, variables = zip(*model.named_weights.items(), strict=True)
    arrays = [variable.numpy().astype(np.float64) for variable in variables]
    loss, found = gradients_of(model, tokens, kernels)

    def reference(*changed):
        weights = dict(zip(names, changed, strict=True))
        logits = reference_logits(weights, config, tokens[:, :-1])
        return cross_entropy(logits, np.eye(config.vocabulary_size), tokens[:, 1:])

    assert loss == pytest.approx(reference(*arrays), abs=1e-5)
    for position in range(len(arrays)):
        compare_slopes(reference, arrays, found, position)


@pytest.mark.parametrize(("compute_type", "most"), [("float32", 1e-4), ("bfloat16", 0.02)])
@pytest.mark.parametrize("config", [SIZES, OTHER], ids=["GPT-2", "other"])
def test_the_fast_path_is_the_plain_path_within_the_rounding_of_its_type(config, compute_type, most, monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK_QUERIES", 5)
    model, tokens = make_model(config=config, compute_type=compute_type), make_tokens(4, 13)
    (plain_loss, plain), (fast_loss, fast) = (gradients_of(model, tokens, by) for by in (formulas, kernels))
    assert fast_loss == pytest.approx(plain_loss, rel=most / 10)
    for name, one, other in zip(model.named_weights, plain, fast, strict=True):
        assert np.linalg.norm(one - other) <= most * np.linalg.norm(one), name


def gradients_of(model, windows, by, answers=(), names=None):
    weights = [weight.value for weight in (names or model.named_weights).values()]
    with tf.GradientTape() as tape:
        loss = model.training_loss(windows, by, answers=answers)
    return float(loss), [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, weights)]


def check_gradient(fast, plain, arrays):
    """Values and gradients of a random weighting of the outputs."""
    outputs = plain(*arrays)
    weights = RANDOM.standard_normal(np.shape(outputs))
    tensors = [tf.constant(a, tf.float32) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        found = fast(*tensors)
        total = tf.reduce_sum(found * weights.astype("float32"))
    np.testing.assert_allclose(found.numpy(), outputs, atol=3e-5)
    gradients = [g.numpy() for g in tape.gradient(total, tensors)]
    for position in range(len(arrays)):
        compare_slopes(lambda *a: (plain(*a) * weights).sum(), arrays, gradients, position)


def compare_slopes(function, arrays, gradients, position, step=1e-5):
    """The slope of ``function`` along a random direction of one array, measured and by its gradient."""
    direction = RANDOM.standard_normal(arrays[position].shape)
    moved = [[*arrays[:position], arrays[position] + sign * step * direction, *arrays[position + 1 :]]
             for sign in (1, -1)]  # fmt: skip
    measured = (function(*moved[0]) - function(*moved[1])) / (2 * step)
    told = (gradients[position].astype(np.float64) * direction).sum()
    assert told == pytest.approx(measured, rel=1e-3, abs=2e-4)
