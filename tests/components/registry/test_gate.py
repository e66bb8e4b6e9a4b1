"""The rule of promotion: a better model wins, an equal one does not, and what cannot be compared is not promoted."""

import numpy as np
import pytest
from pydantic import ValidationError

from components.core.errors import GateError
from components.core.params import parse
from components.core.scores import make_scores, of_floor, property_of_model, write_scores
from components.registry.comparison import read_metrics
from components.registry.config import Guardrail, PromoteConfig
from components.registry.gate import evaluation_set, judge, settings_of

RANDOM = np.random.default_rng(0)
SIZES = RANDOM.integers(50, 2000, 300).astype(float)
BITS = SIZES * 1.7 + RANDOM.normal(0, 90, len(SIZES))
DOCUMENTS = [f"{number:032x}" for number in range(len(SIZES))]
SLICES = [[f"source:{'abc'[number % 3]}"] for number in range(len(SIZES))]
QUICK = {"num_resamples": 500}


@pytest.fixture
def metrics(tmp_path):
    """Writes a table of scores and reads it back, as the gate does."""

    def make(*tables):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        write_scores(folder, tables)
        return read_metrics(folder)

    return make


def bits(change=0.0, noise=0.0, *, documents=DOCUMENTS, slices=SLICES, name="bits_per_byte", seed=1, only=None):
    """Scores that differ by ``change`` bits per byte, of one slice where ``only`` names it, and by noise."""
    drawn = np.random.default_rng(seed).normal(size=len(SIZES))
    changed = np.array([only is None or only in row for row in slices or [[]] * len(SIZES)])
    return make_scores(name, documents, documents, BITS + SIZES * (change * changed + noise * drawn), SIZES, slices)


def rule_of(**config):
    return parse({**QUICK, **config}, PromoteConfig, "promote")


def outcome(challenger, champion, look=1, **config):
    return judge(challenger, champion, rule_of(**config), look).outcome


@pytest.mark.parametrize(
    ("change", "noise", "expected"),
    [(-0.02, 0.05, "promote"), (0.02, 0.05, "keep"), (0.0, 0.05, "inconclusive"), (0.0, 0.0, "keep")],
)
def test_the_outcome_follows_the_interval_of_the_paired_difference(metrics, change, noise, expected):
    assert outcome(metrics(bits(change, noise)), metrics(bits())) == expected


def test_a_margin_must_be_beaten_by_the_whole_interval(metrics):
    better, champion = metrics(bits(-0.05, 0.02)), metrics(bits())
    for margin, expected in ((0.03, "promote"), (0.05, "inconclusive"), (0.10, "keep")):
        assert outcome(better, champion, primary={"margin": margin}) == expected


def test_a_metric_of_which_more_is_better_is_read_the_other_way(metrics):
    champion, better = metrics(bits(name="accuracy")), metrics(bits(0.05, 0.02, name="accuracy"))
    rule = {"metric": "accuracy", "worse": "lower"}
    assert outcome(better, champion, primary=rule) == "promote"
    assert outcome(champion, better, primary=rule) == "keep"


SOURCES = {"name": "sources", "metric": "bits_per_byte", "by": "source", "margin": 0.02}


def test_a_slice_that_became_worse_keeps_a_better_model_back(metrics):
    champion = metrics(bits())
    changes = np.array([0.06 if "source:b" in row else -0.1 for row in SLICES])
    mixed = metrics(make_scores("bits_per_byte", DOCUMENTS, DOCUMENTS, BITS + SIZES * changes, SIZES, SLICES))
    verdict = judge(mixed, champion, rule_of(guardrails=[SOURCES]))
    assert verdict.outcome == "keep"
    assert {f.slice: f.state for f in verdict.guardrails} == {"a": "holds", "b": "broken", "c": "holds"}
    assert "sources, b" in "\n".join(verdict.lines())


def test_small_slices_are_judged_together_and_never_left_out(metrics):
    slices = [[f"source:{'large' if number > 40 else f'small{number % 20}'}"] for number in range(len(SIZES))]
    found = metrics(bits(slices=slices))["bits_per_byte"].slices_by("source", 20)
    assert [int(rows.sum()) for rows in found.values()] == [259, 41]
    found = metrics(bits(slices=slices))["bits_per_byte"].slices_by("source", 100)
    assert [int(rows.sum()) for rows in found.values()] == [300]


UNCLEAR = {
    "a metric that the challenger lacks": ({}, {"name": "pii", "metric": "personal_data", "margin": 1.0}),
    "a slice that nobody has": ({"slices": None}, SOURCES),
    "scores on other documents": ({"documents": [d[::-1] for d in DOCUMENTS]}, None),
    "the same documents in other slices": ({"slices": [["source:a"]] * len(SIZES)}, SOURCES),
}


@pytest.mark.parametrize("reason", UNCLEAR)
def test_what_cannot_be_compared_is_never_promoted(metrics, reason):
    changes, guardrail = UNCLEAR[reason]
    challenger, champion = metrics(bits(-1.0, 0.01, **changes)), metrics(bits())
    assert outcome(challenger, champion, guardrails=[guardrail] if guardrail else []) == "inconclusive"


def test_a_guardrail_without_a_margin_is_judged_by_its_limit_whoever_is_champion(metrics):
    champion, rule = metrics(bits()), {"name": "latency", "metric": "latency"}
    for value, expected in ((0.5, "promote"), (2.0, "keep")):
        challenger = metrics(bits(-0.1, 0.01), property_of_model("latency", value))
        for rival in (champion, None):
            verdict = judge(challenger, rival, rule_of(guardrails=[{**rule, "limit": 1.0}]))
            assert (verdict.outcome, [f.name for f in verdict.guardrails]) == (expected, ["latency, limit"])


@pytest.mark.parametrize("lacking", [{}, {"limit": 1.0, "by": "source"}, {"limit": 1.0, "is_relative": True}])
def test_a_guardrail_without_a_bound_for_what_it_asks_is_refused(lacking):
    with pytest.raises(ValidationError, match="a margin or a limit"):
        Guardrail(name="latency", metric="latency", **lacking)


def test_one_document_is_too_few(metrics):
    one = metrics(make_scores("bits_per_byte", ["d"], ["i"], [1.0], [9.0]))
    assert outcome(one, one) == "inconclusive"


def test_too_few_documents_are_told_how_many_would_do(metrics):
    verdict = judge(metrics(bits(-0.004, 0.05)), metrics(bits()), rule_of())
    assert verdict.outcome == "inconclusive"
    needed = verdict.primary.documents_needed
    assert 300 < needed < 5000
    assert f"{needed:,} documents would suffice" in verdict.lines()[3]


def test_documents_that_all_agree_prove_only_what_their_number_can(metrics):
    rule = {"name": "leaks", "metric": "leaks", "margin": 0.05, "most_of_one": 1.0}

    def clean(count, change=0.0):
        names = [f"{number:04}" for number in range(count)]
        return metrics(bits(change, 0.01), make_scores("leaks", names, names, [0.0] * count, [1.0] * count))

    # Rule of three, at 0.0125 of one end: 4.4 / 40 is above 0.05, 4.4 / 400 below.
    assert outcome(clean(40, -0.1), clean(40), guardrails=[rule]) == "inconclusive"
    assert outcome(clean(400, -0.1), clean(400), guardrails=[rule]) == "promote"


def test_a_property_of_the_model_is_compared_exactly_and_in_proportion(metrics):
    rule = {"name": "size", "metric": "weight_bytes", "margin": 0.5, "is_relative": True}
    champion = metrics(bits(), property_of_model("weight_bytes", 1000))
    for size, expected in ((1499, "promote"), (1500, "keep")):
        larger = metrics(bits(-0.1, 0.01), property_of_model("weight_bytes", size))
        assert outcome(larger, champion, guardrails=[rule]) == expected


def test_models_are_compared_on_different_items_only_where_the_rule_says_so(metrics):
    def extraction(share, seed):
        random = np.random.default_rng(seed)
        names = [f"{seed}-{number}" for number in range(200)]
        return make_scores("extraction", names, names, random.binomial(32, share, 200), np.full(200, 32.0))

    champion, better = metrics(bits(), extraction(0.1, 1)), metrics(bits(-0.1, 0.01), extraction(0.1, 2))
    leaking = metrics(bits(-0.1, 0.01), extraction(0.4, 2))
    rule = {"name": "extraction", "metric": "extraction", "margin": 0.05, "is_paired": False}
    assert outcome(better, champion, guardrails=[rule]) == "promote"
    assert outcome(leaking, champion, guardrails=[rule]) == "keep"
    assert outcome(better, champion, guardrails=[{**rule, "is_paired": True}]) == "inconclusive"
    with pytest.raises(ValidationError, match="same items only"):
        Guardrail(**rule, by="source")


def test_the_first_champion_must_have_learned_something_and_keep_every_limit(metrics):
    assert outcome(metrics(bits()), None) == "promote"
    assert outcome(metrics(bits(8.0)), None) == "keep"
    assert outcome(metrics(bits(name="other")), None) == "inconclusive"
    rule = {"name": "size", "metric": "weight_bytes", "margin": 0.5, "limit": 10.0}
    for size, expected in ((9, "promote"), (11, "keep")):
        assert outcome(metrics(bits(), property_of_model("weight_bytes", size)), None, guardrails=[rule]) == expected
    assert outcome(metrics(bits()), None, guardrails=[rule]) == "inconclusive"


def test_while_there_is_no_champion_the_best_floor_of_the_same_examples_stands_in_its_place(metrics):
    rule, name = {"metric": "right", "worse": "lower"}, of_floor("right", "commonest label")
    floors = bits(-0.5, name=of_floor("right", "weak")), bits(name=name)
    for change, noise, expected in ((0.02, 0.05, "promote"), (-0.02, 0.05, "keep"), (0.0, 0.05, "inconclusive")):
        verdict = judge(metrics(bits(change, noise, name="right"), *floors), None, rule_of(primary=rule))
        assert (verdict.outcome, verdict.primary.floor) == (expected, "commonest label")
        assert "of the floor, commonest label, difference" in verdict.lines()[1]
    other = bits(name=name, documents=[d[::-1] for d in DOCUMENTS])
    assert outcome(metrics(bits(0.5, 0.01, name="right"), other), None, primary=rule) == "inconclusive"
    unbarred = judge(metrics(bits(name="right")), None, rule_of(primary=rule))
    assert unbarred.outcome == "promote"
    assert "against nobody: no floor was measured in it" in unbarred.lines()[1]


def test_every_further_look_at_the_same_documents_costs_and_all_together_cost_no_more_than_allowed(metrics):
    levels = [settings_of(PromoteConfig(), look).level for look in range(1, 2001)]
    assert levels == sorted(levels)
    assert sum(1 - level for level in levels) < 0.05
    challenger, champion = metrics(bits(-0.0085, 0.05)), metrics(bits())
    assert outcome(challenger, champion) == "promote"
    assert outcome(challenger, champion, look=10) == "inconclusive"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_refused(metrics, bad):
    with pytest.raises(GateError, match="1 of 300 scores of bits_per_byte without a finite value"):
        metrics(make_scores("bits_per_byte", DOCUMENTS, DOCUMENTS, np.append(BITS[1:], bad), SIZES))


def test_no_scores_and_scores_over_nothing_are_refused(metrics, tmp_path):
    with pytest.raises(GateError, match="0 rows"):
        metrics(make_scores("bits_per_byte", [], [], [], []))
    with pytest.raises(GateError, match="over nothing"):
        metrics(make_scores("bits_per_byte", ["d"], ["i"], [1.0], [0.0]))
    with pytest.raises(GateError, match="no such file"):
        read_metrics(tmp_path / "none")


def test_the_evaluation_set_is_what_was_scored_and_not_its_scores_or_order(metrics):
    order = RANDOM.permutation(len(SIZES))
    shuffled = bits().take(order)
    first, changed, moved = (evaluation_set(m, PromoteConfig()) for m in (
        metrics(bits()), metrics(bits(1.0)), metrics(shuffled)))  # fmt: skip
    assert first == changed == moved
    assert first != evaluation_set(metrics(bits(documents=[d[::-1] for d in DOCUMENTS])), PromoteConfig())
