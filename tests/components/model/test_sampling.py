"""Writing with a model."""

import numpy as np
import pytest

from components.model.sampling import Sampling, choose, generate
from tests.components.model.world import SIZES, make_model

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


@pytest.fixture(scope="module")
def model():
    return make_model()


def frequencies(sampling, num_draws=4000):
    random = np.random.default_rng(0)
    return np.bincount([choose(LOGITS, sampling, random) for _ in range(num_draws)], minlength=4) / num_draws


def test_tokens_are_drawn_by_their_probabilities():
    np.testing.assert_allclose(frequencies(Sampling(temperature=1, top_k=0)), [0.1, 0.4, 0.2, 0.3], atol=0.03)


def test_temperature_sharpens_and_top_k_cuts():
    sharp = np.array([0.1, 0.4, 0.2, 0.3]) ** 2
    np.testing.assert_allclose(frequencies(Sampling(temperature=0.5, top_k=0)), sharp / sharp.sum(), atol=0.03)
    np.testing.assert_allclose(frequencies(Sampling(temperature=1, top_k=2)), [0, 4 / 7, 0, 3 / 7], atol=0.03)


def test_temperature_0_and_top_1_take_the_likeliest_and_of_equal_ones_the_first():
    assert set(np.flatnonzero(frequencies(Sampling(temperature=0), 5))) == {1}
    assert set(np.flatnonzero(frequencies(Sampling(top_k=1), 5))) == {1}
    assert choose(np.zeros(4, np.float32), Sampling(temperature=0), np.random.default_rng(0)) == 0


def test_the_memory_writes_what_reading_everything_again_would(model):
    context = [3, 1, 4]
    written = generate(model, context, Sampling(num_tokens=9, temperature=0))
    for _ in range(9):
        context.append(int(model(np.array([context], np.int32)).numpy()[0, -1].argmax()))
    assert written == context[3:]


@pytest.mark.parametrize("length", [1, 11, 12, 40])
def test_a_text_may_be_longer_than_the_context(model, length):
    prompt = list(range(length))
    written = generate(model, prompt, Sampling(num_tokens=30))
    assert len(written) == 30
    assert all(0 <= token < SIZES.vocabulary_size for token in written)
    assert generate(model, prompt, Sampling(num_tokens=10)) == written[:10]


def test_only_the_context_counts_of_a_long_prompt(model):
    end = list(range(12))
    assert generate(model, [50, 51, *end], Sampling()) == generate(model, [7, *end], Sampling())


def test_another_seed_writes_another_text(model):
    texts = {tuple(generate(model, [1], Sampling(num_tokens=12, temperature=2, seed=seed))) for seed in range(4)}
    assert len(texts) == 4


def test_writing_ends_at_the_stop_token_which_is_left_out(model):
    written = generate(model, [5], Sampling(num_tokens=20))
    stop = written[7]
    assert generate(model, [5], Sampling(num_tokens=20), stop) == written[: written.index(stop)]


@pytest.mark.parametrize("prompt", [[], [-1], [1, SIZES.vocabulary_size]])
def test_a_prompt_that_the_model_cannot_read_is_refused(model, prompt):
    with pytest.raises(ValueError, match="a prompt needs one token or more"):
        generate(model, prompt, Sampling())
