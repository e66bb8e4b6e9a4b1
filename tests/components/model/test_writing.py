"""Writing one text after the other; what is drawn is held against the model in ``test_decoding``."""

import numpy as np
import pytest

from components.model.decoding import prepare
from components.model.writing import Sampling, Writer
from tests.components.model.world import OTHER, SIZES, make_model


@pytest.fixture(scope="module", params=[SIZES, OTHER], ids=["plain", "other"])
def model(request):
    return make_model(config=request.param)


@pytest.fixture(scope="module")
def writer(model):
    return Writer(model.config, prepare(model.config, {n: w.numpy() for n, w in model.named_weights.items()}))


def test_the_writer_writes_what_reading_everything_again_would(model, writer):
    context = [3, 1, 4]
    written = writer.write(context, Sampling(num_tokens=9, temperature=0))
    for _ in range(9):
        context.append(int(model(np.array([context], np.int32)).numpy()[0, -1].argmax()))
    assert written == context[3:]


@pytest.mark.parametrize("length", [1, 11, 12, 40])
def test_a_text_may_be_longer_than_the_context(writer, length):
    prompt = list(range(length))
    written = writer.write(prompt, Sampling(num_tokens=30))
    assert len(written) == 30
    assert all(0 <= token < SIZES.vocabulary_size for token in written)
    assert writer.write(prompt, Sampling(num_tokens=10)) == written[:10]


def test_beyond_the_context_the_younger_half_is_read_again(model, writer):
    prompt = list(range(12))
    first, second = writer.write(prompt, Sampling(num_tokens=2, temperature=0))
    younger = [*prompt[-5:], first]
    assert second == model(np.array([younger], np.int32)).numpy()[0, -1].argmax()


def test_only_the_context_counts_of_a_long_prompt(writer):
    end = list(range(12))
    assert writer.write([50, 51, *end], Sampling()) == writer.write([7, *end], Sampling())


def test_another_seed_writes_another_text(writer):
    texts = {tuple(writer.write([1], Sampling(num_tokens=12, temperature=2, seed=seed))) for seed in range(4)}
    assert len(texts) == 4


def test_writing_ends_at_the_stop_token_which_is_left_out(writer):
    written = writer.write([5], Sampling(num_tokens=20))
    stop = written[7]
    assert writer.write([5], Sampling(num_tokens=20), stop) == written[: written.index(stop)]


@pytest.mark.parametrize("prompt", [[], [-1], [1, SIZES.vocabulary_size]])
def test_a_prompt_that_the_model_cannot_read_is_refused(writer, prompt):
    with pytest.raises(ValueError, match="a prompt needs one token or more"):
        writer.write(prompt, Sampling())
