"""Every formula against plain NumPy in float64, values and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from components.model import kernels
from components.model.kernels import causal_attention, next_token_loss
from tests.components.model.world import (
    SIZES,
    attention,
    cross_entropy,
    make_model,
    make_tokens,
    reference_logits,
)  # fmt: skip

RANDOM = np.random.default_rng(7)


@pytest.mark.parametrize("num_tokens", [1, 5, 12])
def test_the_model_is_its_formulas(num_tokens):
    model, tokens = make_model(), make_tokens(3, num_tokens)
    weights = {name: weight.numpy() for name, weight in model.named_weights.items()}
    np.testing.assert_allclose(model(tokens).numpy(), reference_logits(weights, SIZES, tokens), atol=2e-5)


@pytest.mark.parametrize("num_tokens", [1, 7, 16, 19])
def test_attention_in_blocks_is_attention(num_tokens, monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK_QUERIES", 8)
    query, key, value = RANDOM.standard_normal((3, 2, 3, num_tokens, 4))
    check_gradient(causal_attention, attention, [query, key, value])


@pytest.mark.parametrize(("num_sequences", "num_tokens", "block"), [(4, 6, 12), (4, 6, 1024), (5, 6, 12), (1, 3, 1)])
def test_the_loss_in_groups_is_the_cross_entropy(num_sequences, num_tokens, block, monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK_LOGITS", block)
    targets = RANDOM.integers(0, 11, (num_sequences, num_tokens)).astype(np.int32)
    hidden, embedding = RANDOM.standard_normal((num_sequences, num_tokens, 8)), RANDOM.standard_normal((11, 8))
    check_gradient(
        lambda h, e: next_token_loss(h, e, targets), lambda h, e: cross_entropy(h, e, targets), [hidden, embedding]
    )


def test_the_loss_of_a_hopeless_target_is_finite_and_its_gradient_right():
    hidden, embedding = tf.constant([[[200.0]]]), tf.constant([[1.0], [-1.0]])
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        loss = next_token_loss(hidden, embedding, np.array([[1]], np.int32))
    assert 80 < float(loss) < np.inf
    np.testing.assert_allclose(tape.gradient(loss, hidden).numpy(), [[[2.0]]])


def test_the_gradient_of_the_whole_model_is_that_of_its_formulas():
    model, tokens = make_model(), make_tokens(2, 13)
    names, variables = zip(*model.named_weights.items(), strict=True)
    arrays = [variable.numpy().astype(np.float64) for variable in variables]
    with tf.GradientTape() as tape:
        loss = next_token_loss(model.hidden(tokens[:, :-1]), model.token_embedding, tokens[:, 1:])
    found = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, [v.value for v in variables])]

    def reference(*changed):
        logits = reference_logits(dict(zip(names, changed, strict=True)), SIZES, tokens[:, :-1])
        return cross_entropy(logits, np.eye(SIZES.vocabulary_size), tokens[:, 1:])

    assert float(loss) == pytest.approx(reference(*arrays), abs=1e-5)
    for position in range(len(arrays)):
        compare_slopes(reference, arrays, found, position)


def check_gradient(fast, plain, arrays):
    """Values and gradients of a random weighting of the outputs."""
    outputs = plain(*arrays)
    weights = RANDOM.standard_normal(np.shape(outputs))
    tensors = [tf.constant(a, tf.float32) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        found = fast(*tensors)
        total = tf.reduce_sum(found * weights.astype("float32"))
    np.testing.assert_allclose(found.numpy(), outputs, atol=2e-5)
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
    assert told == pytest.approx(measured, rel=1e-3, abs=1e-4)
