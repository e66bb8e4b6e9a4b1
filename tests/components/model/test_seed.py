"""The article that this project grew from: its formulas, its worked numbers, and the faults of its sketch.

Right in the article: the first embedding look-up and the feed-forward example. Wrong, and shown here as wrong: the
other two look-ups (they take neither row nor column 3 and 1 of its matrix) and the attention example (one query and
one key give one score, whose softmax is 1; the article makes three weights of it, and three outputs that are not even
their sum with the values).
"""

import numpy as np
import pytest
from keras import ops

from components.model import formulas
from components.model.transformer import Transformer
from tests.components.model.world import SIZES, attention, make_model, make_tokens

EMBEDDING = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32)


def look_up(number):
    """Row ``number`` of the article's matrix, counted from 1, by the operation that the model uses."""
    return ops.convert_to_numpy(ops.take(EMBEDDING, number - 1, axis=0)).tolist()


def test_the_first_look_up_of_the_article_is_right():
    assert look_up(2) == [0, 1, 0]


@pytest.mark.parametrize(("number", "claimed"), [(3, [1, 0, 1]), (1, [1, 1, 0])])
def test_the_other_two_look_ups_of_the_article_are_wrong(number, claimed):
    assert look_up(number) == EMBEDDING[number - 1].tolist() != claimed


def test_the_feed_forward_example_of_the_article_is_right():
    x, inner = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    hidden = ops.relu(ops.matmul(x, inner) + 1.0)
    output = ops.convert_to_numpy(hidden * np.array([7.0, 8.0, 9.0]) + 2.0)
    assert float(hidden) == 33
    assert output.tolist() == [233, 266, 299]


def test_the_attention_example_of_the_article_is_wrong():
    query, key, value = (np.array([[[row]]], np.float32) for row in ([1, 2, 3], [4, 5, 6], [7, 8, 9]))
    found = ops.convert_to_numpy(formulas.causal_attention(query, key, value))[0, 0, 0]
    np.testing.assert_allclose(found, attention(query[0, 0], key[0, 0], value[0, 0])[0])
    np.testing.assert_allclose(found, [7, 8, 9])  # softmax of one score is 1
    assert round(32 / 3**0.5, 3) == 18.475  # where the article writes 10.56
    assert not np.allclose(found, [1.096, 1.256, 1.818])


def test_heads_are_split_and_each_attends_by_itself():
    joined = np.random.default_rng(0).standard_normal((1, 6, 3 * SIZES.width)).astype(np.float32)
    before = ops.convert_to_numpy(formulas.attend(joined, SIZES))
    changed = joined.copy()
    changed[..., : SIZES.head_width] += 1  # the queries of the first head alone
    after = ops.convert_to_numpy(formulas.attend(changed, SIZES))
    assert not np.allclose(before[..., : SIZES.head_width], after[..., : SIZES.head_width])
    np.testing.assert_array_equal(before[..., SIZES.head_width :], after[..., SIZES.head_width :])


def test_a_block_adds_to_what_it_is_given():
    block, x = Transformer(SIZES, seed=1).blocks[0], np.random.default_rng(0).standard_normal((1, 4, 16), np.float32)
    for _, weight in block.named_weights:
        weight.assign(ops.zeros_like(weight))
    np.testing.assert_array_equal(ops.convert_to_numpy(block(x)), x)


def test_the_order_of_earlier_tokens_matters():
    model, tokens = make_model(), make_tokens(1, 8)
    swapped = tokens.copy()
    swapped[0, [1, 3]] = tokens[0, [3, 1]]
    assert not np.allclose(model(tokens).numpy()[0, -1], model(swapped).numpy()[0, -1], atol=1e-3)


def test_no_call_makes_a_layer_or_a_weight():
    model, tokens = make_model(), make_tokens(1, 8)
    weights = [id(weight) for weight in model.weights]
    first, second = model(tokens).numpy(), model(tokens).numpy()
    assert [id(weight) for weight in model.weights] == weights
    np.testing.assert_array_equal(first, second)
