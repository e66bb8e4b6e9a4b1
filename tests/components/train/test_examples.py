"""Examples of applications as lessons: which are used, in which rows, how often, and which tokens count."""

from itertools import combinations

import numpy as np
import pytest

from components.core.errors import InputError, ParamsError
from components.model import ModelConfig
from components.model.scoring import token_losses
from components.model.transformer import Transformer
from components.tokenizer.codec import Codec
from components.train.config import FinetuneConfig
from components.train.example_lessons import plan_lessons
from components.train.examples import make_rows, read_all
from components.train.exposure import first_steps_of_examples
from components.train.mixture import Mixture, Stratum, choose_widths, rows_of_batch
from tests.components.train.finetune_world import CONFIG, make_world, write_application
from tests.components.train.world import CONTEXT, MODEL


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def read(world, names=("sort", "copy")):
    codec = Codec.load(world["tokenizer"])
    return codec, *read_all(names, world["examples"], world["checks"], codec, CONTEXT)


def lessons_of(world, **values):
    config = FinetuneConfig(**{**CONFIG, **values})
    codec, train, validation, _ = read(world, tuple(config.applications))
    return codec, plan_lessons(config, train, validation, codec, CONTEXT)


def test_widths_are_those_of_the_fewest_tokens():
    random = np.random.default_rng(5)
    for most in (1, 2, 3):
        lengths = random.integers(1, 90, 40)
        found = choose_widths(lengths, most, 88)
        grains = np.unique(np.minimum(-(-lengths // 8) * 8, 88))
        ways = [np.array([*some, grains[-1]]) for n in range(most) for some in combinations(grains[:-1], n)]
        assert tokens_of(found, lengths) == min(tokens_of(way, lengths) for way in ways)
        assert len(found) <= most
    assert choose_widths(np.array([3, 3]), 3, 50).tolist() == [8]


def tokens_of(widths, lengths):
    return widths[np.searchsorted(widths, np.minimum(lengths, 88))].sum()


def test_an_epoch_sees_every_example_as_often_as_its_weight_says():
    members = [np.arange(0, 40), np.arange(40, 50), np.arange(50, 81)]
    mixture = Mixture(1, [[Stratum(members[0], 1), Stratum(members[1], 2.5)], [Stratum(members[2], 0.5)]], [6, 4])
    for epoch in range(3):
        seen = np.zeros(81, int)
        for step in range(epoch * mixture.num_batches, (epoch + 1) * mixture.num_batches):
            shelf, numbers = mixture.of_step(step)
            assert len(numbers) == mixture.rows[shelf]
            assert {number >= 50 for number in numbers.tolist()} == {shelf == 1}
            seen += np.bincount(numbers, minlength=81)
        # A last batch is filled up from the beginning, so a few are seen once more.
        assert set(seen[:40]) <= {1, 2}
        assert set(seen[40:50]) <= {2, 3, 4}
        assert seen[:50].sum() in range(65, 71)
        assert seen[50:].sum() in range(16, 20)
    orders = [[mixture.of_step(e * mixture.num_batches + i)[1].tolist() for i in range(3)] for e in range(2)]
    assert orders[0] != orders[1]


def test_rows_of_a_batch_are_about_so_many_tokens_and_can_be_cut():
    assert rows_of_batch(2048, 24, 1000, 2) == 84
    assert rows_of_batch(2048, 512, 1000, 2) == 4
    assert rows_of_batch(100, 512, 1000, 2) == 2
    assert rows_of_batch(2048, 24, 7, 4) == 4


def test_an_application_weighs_as_much_as_it_has_rows_however_long_its_answers(world):
    codec, train, _, _ = read(world)
    train.applications[:] = np.arange(len(train.tokens)) % 2
    numbers = np.arange(7)
    for number in (0, 2, 4, 6):  # of one application, all but the first token of an answer are told
        train.tokens[number].is_answer[np.flatnonzero(train.tokens[number].is_answer)[1:]] = False
    _, answers = make_rows(train, numbers, CONTEXT, 20, codec.end_of_text)
    weights = answers.weights
    told = weights.sum(axis=1)
    assert told[0::2].mean() == pytest.approx(told[1::2].mean())
    assert weights.mean() == pytest.approx(1)
    assert ((weights > 0).sum(axis=1) == train.num_answer_tokens[numbers]).all()
    assert len(set(weights[weights > 0].round(5).tolist())) == 2


def test_what_is_quarantined_or_without_an_answer_is_left_out_and_counted(world):
    _, train, validation, books = read(world)
    books.check("finetune")
    assert books.dropped == {"set aside by its check": 1, "without an answer": 1}
    assert books.kept == len(train.tokens) + len(validation.tokens)
    assert set(train.applications) == {0, 1}


def test_a_row_is_end_of_text_prompt_answer_end_of_text_and_only_the_answer_counts(world):
    codec, lessons = lessons_of(world)
    seen = set()
    for step in range(lessons.mixture.num_batches):
        windows, (places, weights) = lessons.batch(step)
        assert weights.mean() == pytest.approx(1)
        for row, where, counts in zip(windows, places, weights > 0, strict=True):
            prompt, answer = codec.decode(row[: where[0] + 1]), codec.decode(row[1:][where[counts]])
            assert row[0] == row[1:][where[counts][-1]] == codec.end_of_text
            assert (row[where[counts][-1] + 1 :] == codec.end_of_text).all()
            assert answer == "".join(sorted(prompt[5:-1])) if prompt.startswith("sort") else prompt[5:-1]
            seen.add(prompt)
    assert len(seen) > 30


def test_with_a_prompt_weight_every_token_teaches_its_share(world):
    _, lessons = lessons_of(world, prompt_weight=0.25)
    windows, (places, weights) = lessons.batch(0)
    for row, where, counts in zip(windows, places, weights, strict=True):
        length = (counts > 0).sum()
        assert where[:length].tolist() == list(range(length))
        assert (row[length + 1 :] == lessons.codec.end_of_text).all()
        shares = np.unique((counts[:length] / counts.max()).round(4))
        assert shares.tolist() == [0.25, 1.0]
    assert weights.mean() == pytest.approx(1)


def test_noise_changes_prompts_alone_and_follows_from_the_step(world):
    (_, plain), (_, noisy) = lessons_of(world), lessons_of(world, prompt_noise=0.5)
    changed = total = 0
    for step in range(6):
        (clean, answers), (windows, same) = plain.batch(step), noisy.batch(step)
        np.testing.assert_array_equal(answers.places, same.places)
        np.testing.assert_array_equal(windows, noisy.batch(step).windows)
        is_prompt = (np.arange(windows.shape[1]) > 0) & (np.arange(windows.shape[1]) < answers.places[:, :1])
        assert (windows == clean)[~is_prompt].all()
        changed, total = changed + (windows != clean).sum(), total + is_prompt.sum()
    assert 0.4 < changed / total < 0.6


def test_the_validation_loss_is_that_of_the_answers_of_each_application(world):
    _, lessons = lessons_of(world, validation_examples=4)
    model = Transformer(ModelConfig(**MODEL), seed=1)
    found = lessons.measure(model)
    parts = [found["validation_loss_sort"], found["validation_loss_copy"]]
    assert found["validation_loss"] == pytest.approx(sum(parts) / 2)
    totals, counts = np.zeros(2), np.zeros(2)
    for number in np.concatenate(lessons.shown):
        tokens, is_answer = lessons.validation.tokens[number]
        losses = token_losses(model, tokens[None])[0]
        totals[lessons.validation.applications[number]] += losses[is_answer[1:]].sum()
        counts[lessons.validation.applications[number]] += is_answer.sum()
    assert (totals / counts).tolist() == pytest.approx(parts, rel=1e-4)


def test_an_application_that_was_not_prepared_or_has_nothing_to_learn_is_told(world, tmp_path):
    with pytest.raises(ParamsError, match="application translate") as caught:
        read(world, ("sort", "translate"))
    assert caught.value.expected == "one of copy, sort"
    write_application(tmp_path, "sort", [("train", "a", "a")])
    codec = Codec.load(world["tokenizer"])
    with pytest.raises(InputError, match="split validation"):
        read_all(("sort",), tmp_path / "examples", tmp_path / "checks", codec, CONTEXT)


def test_values_that_contradict_each_other_are_refused():
    noisy = {"prompt_noise": 0.1, "prompt_weight": 0.1}
    for values in (
        noisy,
        {"applications": {}},
        {"applications": {"sort": 0.0}},
        {"method": "half"},
        {"lora": {"rank": 0}},
    ):
        with pytest.raises(ValueError, match="valid"):
            FinetuneConfig(**{**CONFIG, **values})


def test_the_first_step_of_an_example_is_the_first_whose_batch_holds_its_tokens(world, tmp_path):
    config = FinetuneConfig(**{**CONFIG, "applications": {"sort": 0.5, "copy": 1.5}})
    codec, lessons = lessons_of(world, applications=config.applications)
    (tmp_path / "history.jsonl").write_text("{}\n" * 7)
    found = first_steps_of_examples(config, **world, finetuned=tmp_path)
    batches = [lessons.batch(step).windows for step in range(7)]
    for tokens, _ in lessons.train.tokens:
        equal = [name for name, other in zip(lessons.train.identities, lessons.train.tokens, strict=True)
                 if np.array_equal(other.tokens, tokens)]  # fmt: skip
        held = [step for step, windows in enumerate(batches) if any(is_row(row, tokens, codec) for row in windows)]
        assert min((found[name] for name in equal if found[name] >= 0), default=-1) == (held[0] if held else -1)
    assert set(found) == set(lessons.train.identities)
    assert -1 in found.values()
    assert "sort-1" not in found


def is_row(row, tokens, codec):
    return np.array_equal(row[: len(tokens)], tokens) and (row[len(tokens) :] == codec.end_of_text).all()
