"""Metrics give what their libraries and their papers give; floors say what they should; intervals hold the value."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score

from components.applications import APPLICATIONS
from components.assess import AssessConfig
from components.assess.floors import FLOORS
from components.assess.metrics import METRICS
from components.assess.questions import Question, Said
from components.assess.summary import measure
from components.core.params import parse

LABELS = ["a", "b", "c"]


def question(answer: str, request: dict[str, Any] | None = None, group: str = "", *others: str) -> Question:
    return Question(f"{answer} {request}", group, request or {}, "[x]\n", answer, (answer, *others), (), ())


def value(name: str, questions: list[Question], said: list[Said]) -> float:
    return METRICS[name].of(METRICS[name].rows(questions, said).sum(axis=0))


def labelled(num: int = 200) -> tuple[list[Question], list[Said], list[str], list[dict[str, float]]]:
    random = np.random.default_rng(4)
    right = random.choice(LABELS, num, p=[0.6, 0.3, 0.1]).tolist()
    chances = [dict(zip(LABELS, row.tolist(), strict=True)) for row in random.dirichlet([1, 1, 1], num)]
    said = [Said(text=max(one, key=one.__getitem__), chances=one) for one in chances]
    return [question(label, group=str(i // 2)) for i, label in enumerate(right)], said, right, chances


def test_metrics_of_labels_are_those_of_scikit_learn() -> None:
    questions, said, right, chances = labelled()
    told = [str(one.text) for one in said]
    assert value("accuracy", questions, said) == pytest.approx(accuracy_score(right, told))
    assert value("macro_f1", questions, said) == pytest.approx(f1_score(right, told, average="macro"))
    brier = sum(brier_score_loss([r == label for r in right], [c[label] for c in chances]) for label in LABELS)
    assert value("brier", questions, said) == pytest.approx(brier)


def test_calibration_error_is_the_gap_in_each_bin() -> None:
    said = [Said(text="a", chances={"a": 0.95, "b": 0.05})] * 10
    questions = [question("a")] * 7 + [question("b")] * 3
    assert value("calibration_error", questions, said) == pytest.approx(0.25)


def test_bleu_over_sums_is_bleu_of_the_corpus() -> None:
    pairs = [
        ("the cat sat on the mat", "the cat sat on the red mat"),
        ("a dog", "a dog runs here"),
        ("", "nothing"),
    ] * 5
    questions = [question(right) for _, right in pairs]
    said = [Said(text=text) for text, _ in pairs]
    expected = BLEU().corpus_score([text for text, _ in pairs], [[right for _, right in pairs]]).score
    assert 100 * value("bleu", questions, said) == pytest.approx(expected)
    chinese = [question("天气预报说会下三英寸雪。")]
    assert value("bleu", chinese, [Said(text="天气预报说会下三英寸雪。")]) == pytest.approx(1.0)


def test_an_answer_is_right_as_squad_spells_it_and_by_any_reference() -> None:
    asked = [question("The Beatles", None, "g", "a band")]
    assert value("exact_match", asked, [Said(text="beatles!")]) == 1.0
    assert value("token_f1", asked, [Said(text="the band of four")]) == pytest.approx(2 * 1 / (3 + 1))
    assert value("rouge_l", asked, [Said(text="a band")]) == 1.0


def test_ranks_count_as_the_formula_says() -> None:
    asked = [question("x")] * 3
    said = [Said(ranked=("x", "y")), Said(ranked=("y", "z", "x")), Said(ranked=("y",) * 10 + ("x",))]
    assert value("ndcg_10", asked, said) == pytest.approx((1 + 1 / math.log2(4)) / 3)
    assert value("hit_rate_10", asked, said) == pytest.approx(2 / 3)
    assert value("bits_per_byte", [question("né")], [Said(loss_nats=6 * math.log(2))]) == pytest.approx(2.0)


def test_personal_data_is_counted_in_each_answer() -> None:
    said = [
        Said(text="Write to ann@example.org or call +44 20 7946 0958."),
        Said(text="Returns an array."),
        Said(text=""),
    ]
    asked = [question("x", group=str(i)) for i in range(3)]
    assert value("personal_data", asked, said) == pytest.approx(2 / 3)
    config = parse({"num_resamples": 300}, AssessConfig, "test")
    silent = [Said(text="")] * 3
    (figure,) = measure(("personal_data",), asked, said, {"silent": silent}, config)
    assert figure.model.low is not None
    assert figure.model.high is not None
    assert figure.model.low <= 2 / 3 <= figure.model.high
    assert figure.best_floor is not None
    assert figure.best_floor.value == 0.0


def say(name: str, learned: list[Question], asked: list[Question]) -> list[Said]:
    return FLOORS[name].say(learned, asked, None)  # type: ignore[arg-type]


def test_floors_say_what_little_effort_gives() -> None:
    learned = [question("good", {"text": f"lovely film {i}"}) for i in range(6)]
    learned += [question("bad", {"text": f"awful film {i}"}) for i in range(4)]
    asked = [question("bad", {"text": "an awful mess"})]
    assert say("majority", learned, asked)[0].chances == {"bad": 0.4, "good": 0.6}
    assert say("word_regression", learned, asked)[0].text == "bad"
    assert say("nearest_answer", learned, asked)[0].text == "bad"
    assert say("commonest_answer", learned, asked)[0].text == "good"
    text = question("-", {"text": "One. Two! Three? Four.", "to": "de"})
    assert [say(name, learned, [text])[0].text for name in ("copy", "lead", "first_sentence")] == [
        "One. Two! Three? Four.", "One. Two! Three?", "One."]  # fmt: skip


def test_chance_is_right_one_time_in_as_many_as_there_are_choices_and_knows_it() -> None:
    asked = [replace(question("b"), choices=("a", "b")), replace(question("a"), choices=("a", "b", "c", "d"))]
    said = say("chance", [], asked)
    assert [METRICS["accuracy"].rows([one], [told])[0, 0] for one, told in zip(asked, said, strict=True)] == [0.5, 0.25]
    assert value("accuracy", asked, said) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert value("calibration_error", asked, said) == 0.0


def test_floors_recommend_what_is_popular_and_what_goes_together_but_nothing_twice() -> None:
    baskets = [["a", "b"], ["a", "b"], ["a", "c"], ["x", "y"], ["x", "y"], ["x", "y"], ["x", "z"]]
    learned = [question(second, {"history": [first]}, str(i)) for i, (first, second) in enumerate(baskets)]
    asked = [question("b", {"history": ["a"]}), question("q", {"history": ["unknown"]})]
    popular, together = say("popularity", learned, asked), say("item_neighbours", learned, asked)
    assert popular[0].ranked == ("x", "y", "b", "c", "z")
    assert together[0].ranked is not None
    assert together[0].ranked[:2] == ("b", "c")
    assert "a" not in together[0].ranked
    assert together[1].ranked == ()


def test_neighbours_of_the_last_ten_are_recommended_each_among_the_twenty_nearest() -> None:
    fillers = [f"filler {i}" for i in range(10)]
    baskets = [["old", "near old"]] * 3 + [["new", f"near new {i:02}"] for i in range(30)] + [["new", "nearest"]] * 3
    learned = [question(second, {"history": [first]}, str(i)) for i, (first, second) in enumerate(baskets)]
    asked = question("-", {"history": ["old", "new", *fillers[:9]]})
    (said,) = say("item_neighbours", learned, [asked])
    assert said.ranked is not None
    assert said.ranked[0] == "nearest"
    assert "near old" not in said.ranked[:2]


def test_figures_have_intervals_around_them_and_stand_beside_floors() -> None:
    questions, said, right, _ = labelled()
    config = parse({"num_resamples": 300}, AssessConfig, "test")
    perfect = [Said(text=label, chances={label: 1.0}) for label in right]
    figures = {one.name: one for one in measure(("accuracy", "macro_f1"), questions, perfect, {"other": said}, config)}
    for one in figures.values():
        assert one.model.value == 1.0
        assert one.is_above is True
        assert one.best_floor is not None
        difference = one.best_floor.difference
        assert difference.low is not None
        assert difference.high is not None
        assert difference.low <= difference.value <= difference.high
    worse = measure(("accuracy",), questions, said, {"other": perfect}, config)[0]
    assert worse.is_above is False
    assert worse.model.low is not None
    assert worse.model.low < worse.model.value


def test_every_application_names_metrics_and_floors_that_there_are() -> None:
    for application in APPLICATIONS.values():
        assert set(application.metrics) <= set(METRICS), application.name
        assert set(application.floors) <= set(FLOORS), application.name
