"""Many prompts at once: every answer is what the model alone would give."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.errors import InputError
from components.model import ModelConfig
from components.model.answering import Answerer, Catalogue
from components.model.decoding import load_weights
from components.model.scoring import token_losses
from components.model.transformer import Transformer
from components.model.weights import save_model

CONFIG = ModelConfig(vocabulary_size=60, context_tokens=48, width=16, num_layers=2, num_heads=2, feed_forward_width=32)
END = 0


@pytest.fixture(scope="module")
def model() -> Transformer:
    made = Transformer(CONFIG, seed=3)
    random = np.random.default_rng(5)
    for weight in made.named_weights.values():
        weight.assign(random.normal(0.0, 0.4, weight.shape))
    return made


@pytest.fixture(scope="module")
def answerer(model: Transformer, tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    folder = tmp_path_factory.mktemp("model")
    save_model(model, folder)
    return Answerer(*load_weights(folder), END)


def prompts(num: int) -> list[list[int]]:
    random = np.random.default_rng(1)
    return [[END, *random.integers(1, 60, length).tolist()] for length in random.integers(1, 30, num)]


def alone(model: Transformer, prompt: list[int], answer: list[int]) -> float:
    """log p of an ended answer by the plain model."""
    window = np.array([[*prompt, *answer, END]], np.int32)
    return -float(token_losses(model, window)[0, len(prompt) - 1 :].sum(dtype="float64"))


def test_an_answer_has_the_probability_that_the_plain_model_gives_it(model: Transformer, answerer: Answerer) -> None:
    asked = prompts(40)
    answers = [[[5], [6, 7, 8], []][: 1 + i % 3] for i in range(40)]
    for prompt, given, found in zip(asked, answers, answerer.score(asked, answers), strict=True):
        assert found == pytest.approx([alone(model, prompt, answer) for answer in given], abs=2e-3)


def test_greedy_writing_takes_the_likeliest_token_each_time(model: Transformer, answerer: Answerer) -> None:
    asked = [*prompts(20), [END, *[1] * 45]]
    for prompt, written in zip(asked, answerer.write(asked, 10), strict=True):
        text = list(prompt)
        for token in written:
            logits = np.asarray(model(np.array([text], np.int32)))[0, -1]
            assert logits[token] == pytest.approx(logits.max(), abs=1e-3)
            text.append(token)
        has_ended = len(text) <= 48 and np.argmax(np.asarray(model(np.array([text], np.int32)))[0, -1]) == END
        assert len(written) == min(10, 49 - len(prompt)) or has_ended


def test_a_wide_beam_ranks_a_catalogue_as_scoring_each_entry_does(model: Transformer, answerer: Answerer) -> None:
    random = np.random.default_rng(2)
    entries = [random.integers(1, 60, length).tolist() for length in random.integers(1, 5, 80)]
    entries = [list(entry) for entry in dict.fromkeys(map(tuple, entries))]
    asked = prompts(6)
    exact = [answerer.score([prompt], [entries])[0] for prompt in asked]
    best = [np.argsort(-scores, kind="stable")[:12].tolist() for scores in exact]
    for excluded in ([[]] * 6, [numbers[:2] for numbers in best]):
        ranked = answerer.rank(asked, Catalogue(entries, END), 60, excluded)
        for scores, numbers, without, found in zip(exact, best, excluded, ranked, strict=True):
            expected = [number for number in numbers if number not in without][:10]
            assert [number for number, _ in found[:10]] == expected
            assert [score for _, score in found[:10]] == pytest.approx(scores[expected], abs=2e-3)


def test_what_one_prompt_gets_does_not_depend_on_the_others(answerer: Answerer) -> None:
    asked = prompts(33)
    together = answerer.score(asked, [[[5, 6], [7]]] * 33)
    apart = [answerer.score([prompt], [[[5, 6], [7]]])[0] for prompt in asked]
    assert all(np.array_equal(one, other) for one, other in zip(together, apart, strict=True))


def test_what_does_not_fit_the_context_is_refused_and_no_memory_of_others_is_touched(answerer: Answerer) -> None:
    with pytest.raises(InputError, match="at most 48"):
        answerer.score([[END, 1]], [[[2], [3] * 47]])
    with pytest.raises(InputError, match="49 tokens"):
        answerer.rank([[END] * 40], Catalogue([[2], [3] * 9], END), 2, [()])
    assert len(answerer.score([[END, 1]], [[[3] * 46]])) == len(
        answerer.rank([[END] * 40], Catalogue([[3] * 8], END), 2, [()])
    )
