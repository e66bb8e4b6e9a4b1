"""Many texts at once: the numbers of the plain model, and no text that its neighbours could change."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from components.core.errors import InputError
from components.model import ModelConfig
from components.model.decoding import Choice, Decoder, load_weights, prepare, weight_shapes
from components.model.decoding_kernels import Matrix
from components.model.int8 import quantise, widen
from components.model.weights import WEIGHTS, save_model
from tests.components.model.world import OTHER, SIZES, make_model, make_tokens

ODD = ModelConfig(vocabulary_size=97, context_tokens=20, width=30, num_layers=3, num_heads=5, feed_forward_width=41)
CHOICES = {
    "norm": ["layer_norm", "rms_norm"], "activation": ["gelu", "swiglu"], "positions": ["learned", "rotary"],
    "output": ["tied", "free"], "num_key_value_heads": [0, 2],
}  # fmt: skip


@pytest.fixture(scope="module", params=[SIZES, ODD, OTHER], ids=["even", "odd", "other"])
def model(request):
    return make_model(config=request.param)


def weights_of(model):
    return prepare(model.config, {name: weight.numpy() for name, weight in model.named_weights.items()})


def decoder(model, num_slots=4, **options):
    return Decoder(model.config, weights_of(model), num_slots=num_slots, **options)


def read(made, slot, tokens, choice, uniform=0.5, start=0):
    """Read a prompt in one piece and choose the token after it."""
    made.open(slot, choice)
    count = len(tokens)
    ends = [False] * (count - 1) + [True]
    return made.read(tokens, [slot] * count, range(start, start + count), ends, [uniform] * count)


def write_alone(made, slot, prompt, choice, uniforms):
    """A prompt and as many tokens as there are random numbers, one step at a time, nobody beside it."""
    first = read(made, slot, prompt, choice, uniforms[0])
    tokens, told = [int(first.tokens[0, -1])], [float(first.log_probabilities[0, -1])]
    for number, uniform in enumerate(uniforms[1:]):
        page = made.write(tokens[-1:], [slot], [len(prompt) + number], np.array([[uniform]]))
        tokens.append(int(page.tokens[0, 0]))
        told.append(float(page.log_probabilities[0, 0]))
    return tokens, told


def test_the_likeliest_tokens_and_their_probabilities_are_those_of_the_model(model):
    tokens = make_tokens(1, 9, config=model.config)[0].tolist()
    page = read(decoder(model), 2, tokens, Choice(temperature=0, num_top=20))
    logits = model(np.array([tokens], np.int32)).numpy()[0, -1].astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum())
    order = np.argsort(-expected)[:20]
    assert page.tokens[0, -1] == order[0]
    assert page.tokens[0, :-1].tolist() == [-1] * 8
    np.testing.assert_array_equal(page.top_tokens[0, -1], order)
    np.testing.assert_allclose(page.top_log_probabilities[0, -1], expected[order], atol=3e-5)
    assert page.log_probabilities[0, -1] == page.top_log_probabilities[0, -1, 0]


@pytest.mark.parametrize("chosen", [*itertools.product(*CHOICES.values())], ids=str)
def test_every_choice_of_a_model_is_computed_as_the_model_does(chosen):
    config = ModelConfig(**{**SIZES.model_dump(), **dict(zip(CHOICES, chosen, strict=True))})
    model, tokens = make_model(config=config), make_tokens(1, 12, config=config)[0].tolist()
    made, end = decoder(model), len(tokens)
    made.open(1, Choice(num_top=1))
    page = made.read(tokens, [1] * end, range(end), [True] * end, [0] * end, [*tokens[1:], 0])
    logits = model(np.array([tokens], np.int32)).numpy()[0].astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(page.log_probabilities[0, :-1], expected[range(end - 1), tokens[1:]], atol=5e-5)
    np.testing.assert_allclose(page.top_log_probabilities[0, :, 0], expected.max(-1), atol=5e-5)


def test_weights_of_one_byte_compute_what_they_stand_for(model):
    narrow = quantise({name: weight.numpy() for name, weight in model.named_weights.items()})
    tokens = make_tokens(1, 9, config=model.config)[0].tolist()
    made = [Decoder(model.config, prepare(model.config, arrays), num_slots=1) for arrays in (narrow, widen(narrow))]
    found, expected = (read(one, 0, tokens, Choice(num_top=20)).top_log_probabilities[0, -1] for one in made)
    np.testing.assert_allclose(found, expected, atol=5e-5)


def test_a_text_is_the_same_bit_for_bit_alone_and_in_company_in_any_slot_and_in_any_pieces(model):
    random, size = np.random.default_rng(3), model.config.vocabulary_size
    prompt, uniforms = random.integers(0, size, 5).tolist(), random.random(6)
    choice = Choice(temperature=1.3, top_k=40, top_p=0.9, repetition_penalty=1.2)
    expected = write_alone(decoder(model), 0, prompt, choice, uniforms)
    company = decoder(model, num_slots=7)
    for slot in range(6):
        read(company, slot, random.integers(0, size, slot + 1).tolist(), Choice())
    company.open(6, choice)
    company.read(prompt[:2], [6, 6], [0, 1], [False, False], [0, 0])
    mixed = company.read(
        [*prompt[2:], 7], [6, 6, 6, 0], [2, 3, 4, 1], [False, False, True, True], [0, 0, uniforms[0], 0]
    )
    first = int(mixed.tokens[0, 2])
    others = random.random((5, 7))
    others[:, 3] = uniforms[1:]
    slots, positions = [1, 2, 3, 6, 0, 4, 5], [2, 3, 4, 5, 2, 5, 6]
    page = company.write([9, 9, 9, first, 9, 9, 9], slots, positions, others)
    assert [first, *page.tokens[:, 3].tolist()] == expected[0]
    assert [float(mixed.log_probabilities[0, 2]), *page.log_probabilities[:, 3].tolist()] == expected[1]


def test_what_a_slot_held_before_is_forgotten(model):
    made, choice = decoder(model), Choice(repetition_penalty=3.0)
    fresh = write_alone(decoder(model), 1, [4, 5], choice, [0.3] * 6)
    write_alone(made, 1, [1, 2, 3, 7], Choice(), [0.9] * 8)
    assert write_alone(made, 1, [4, 5], choice, [0.3] * 6) == fresh


def chances(logits, choice):
    """The distribution from which a token is drawn, in plain float64."""
    scores = logits.astype(np.float64) / choice.temperature
    weights = np.exp(scores - scores.max())
    order = np.argsort(-weights, kind="stable")
    weights[order[choice.top_k or len(order) :]] = 0
    reached = np.cumsum(weights[order]) / weights.sum()
    weights[order[1:][reached[:-1] >= choice.top_p]] = 0
    return weights / weights.sum()


@pytest.mark.parametrize(
    "choice",
    [Choice(), Choice(temperature=2.5), Choice(top_k=5), Choice(top_p=0.5), Choice(top_p=0), Choice(top_k=1),
     Choice(temperature=0.7, top_k=20, top_p=0.8), Choice(top_k=10_000)],
    ids=str,
)  # fmt: skip
def test_tokens_are_drawn_from_the_distribution_that_was_asked_for(model, choice):
    prompt = [3, 1, 4, 1]
    expected = chances(model(np.array([prompt], np.int32)).numpy()[0, -1], choice)
    made = decoder(model)
    bounds = np.cumsum(expected)
    for uniform in np.random.default_rng(1).random(200):
        token = int(read(made, 0, prompt, choice, uniform).tokens[0, -1])
        low, high = bounds[token] - expected[token], bounds[token]
        assert expected[token] > 0
        assert low - 1e-4 <= uniform <= high + 1e-4


def test_the_penalty_divides_what_is_likely_and_multiplies_what_is_not(model):
    prompt, choice = [3, 1, 4], Choice(temperature=0, repetition_penalty=50.0)
    logits = model(np.array([prompt], np.int32)).numpy()[0, -1]
    logits[prompt] = np.where(logits[prompt] > 0, logits[prompt] / 50, logits[prompt] * 50)
    assert read(decoder(model), 0, prompt, choice).tokens[0, -1] == logits.argmax()


def test_the_whole_context_can_be_used(model):
    limit = model.config.context_tokens
    made, tokens = decoder(model), make_tokens(1, limit, config=model.config)[0].tolist()
    page = read(made, 3, tokens, Choice(temperature=0))
    assert page.tokens[0, -1] == model(np.array([tokens], np.int32)).numpy()[0, -1].argmax()


def test_weights_come_from_a_file_without_keras_and_must_be_the_models(model, tmp_path):
    assert weight_shapes(model.config) == {name: tuple(w.shape) for name, w in model.named_weights.items()}
    save_model(model, tmp_path)
    config, weights = load_weights(tmp_path)
    assert config == model.config
    for found, expected in zip(weights, weights_of(model), strict=True):
        for part, other in zip(found, expected, strict=True) if isinstance(found, Matrix) else [(found, expected)]:
            np.testing.assert_array_equal(part, other)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-4])
    with pytest.raises(InputError):
        load_weights(tmp_path)


WRITES = """
import numpy as np
from components.model import ModelConfig
from components.model.decoding import Choice, Decoder, prepare, weight_shapes
sizes = {"vocabulary_size": 97, "context_tokens": 40, "width": 32, "num_heads": 2, "feed_forward_width": 96}
config, random = ModelConfig(num_layers=2, **sizes), np.random.default_rng(0)
arrays = {n: random.standard_normal(s).astype(np.float32) * 0.4 for n, s in weight_shapes(config).items()}
made = Decoder(config, prepare(config, arrays), num_slots=1)
made.open(0, Choice(temperature=0))
made.read(range(30), [0] * 30, range(30), [True] * 30, [0.5] * 30)
print(made.logits(30).tobytes().hex())
"""


@pytest.mark.slow
def test_the_process_that_compiles_reckons_as_those_that_load(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", WRITES], env=environment, check=True, capture_output=True).stdout
        for _ in range(2)
    )
    assert first
    assert first == second
