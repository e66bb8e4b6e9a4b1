"""The rule of promotion: a better model wins, an equal one does not, and what cannot be compared is not promoted."""

import numpy as np
import pytest

from components.core.errors import GateError
from components.registry.config import PromoteConfig
from components.registry.gate import Scores, judge, judge_first, read_scores
from tests.components.registry.world import write_scores

RANDOM = np.random.default_rng(0)
SIZES = RANDOM.integers(50, 2000, 300).astype(float)
LOSSES = SIZES * 1.2 + RANDOM.normal(0, 60, len(SIZES))


def scores(change=0.0, noise=0.0, evaluation_set="one"):
    """Scores that differ from the champion's by ``change`` bits per byte, and by noise per document."""
    random = np.random.default_rng(1)
    return Scores(evaluation_set, SIZES, LOSSES + SIZES * np.log(2) * (change + noise * random.normal(size=len(SIZES))))


@pytest.mark.parametrize(
    ("change", "noise", "outcome"),
    [(-0.02, 0.05, "promote"), (0.02, 0.05, "keep"), (0.0, 0.05, "inconclusive"), (0.0, 0.0, "keep")],
)
def test_the_outcome_follows_the_interval_of_the_paired_difference(change, noise, outcome):
    assert judge(scores(change, noise), scores(), PromoteConfig()).outcome == outcome


def test_a_margin_must_be_beaten_by_the_whole_interval():
    better = scores(-0.05, 0.02)
    assert judge(better, scores(), PromoteConfig(margin_bits_per_byte=0.03)).outcome == "promote"
    assert judge(better, scores(), PromoteConfig(margin_bits_per_byte=0.05)).outcome == "inconclusive"
    assert judge(better, scores(), PromoteConfig(margin_bits_per_byte=0.10)).outcome == "keep"


def test_equal_models_are_seldom_promoted():
    promoted = 0
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, 0.05, len(SIZES)) * SIZES
        verdict = judge(Scores("one", SIZES, LOSSES + noise), scores(), PromoteConfig(num_resamples=300, seed=seed))
        promoted += verdict.outcome == "promote"
    # One side of a 95 % interval: 2.5 % are expected; 6 % of 200 or more happen once in 300 times.
    assert promoted / 200 < 0.06


def test_scores_on_other_documents_are_never_compared():
    verdict = judge(scores(-1.0), scores(evaluation_set="another"), PromoteConfig())
    assert verdict.outcome == "inconclusive"
    assert "other documents" in str(verdict)


def test_one_document_is_too_few():
    one = Scores("one", SIZES[:1], LOSSES[:1])
    assert judge(one, one, PromoteConfig()).outcome == "inconclusive"


def test_the_first_champion_must_have_learned_something():
    assert judge_first(scores()).outcome == "promote"
    assert judge_first(Scores("one", SIZES, SIZES * np.log(2) * 8.5)).outcome == "keep"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_refused(tmp_path, bad):
    write_scores(tmp_path, np.append(LOSSES[1:], bad), SIZES)
    with pytest.raises(GateError, match="1 of them without a finite loss"):
        read_scores(tmp_path)


def test_no_documents_are_refused(tmp_path):
    write_scores(tmp_path, LOSSES[:0], SIZES[:0])
    with pytest.raises(GateError, match="0 documents"):
        read_scores(tmp_path)


def test_the_evaluation_set_is_the_texts_and_not_their_scores_or_order(tmp_path):
    found = []
    for number, (losses, sizes, first) in enumerate(
        [(LOSSES, SIZES, 0), (LOSSES + 1, SIZES, 0), (LOSSES, SIZES + 1, 0), (LOSSES, SIZES, 5)]
    ):
        (tmp_path / str(number)).mkdir()
        write_scores(tmp_path / str(number), losses, sizes, first=first)
        found.append(read_scores(tmp_path / str(number)).evaluation_set)
    assert found[0] == found[1]
    assert len({*found[1:]}) == 3
