"""The interval over documents: it covers, it is repeatable, it says when it cannot tell."""

import numpy as np

from components.core.intervals import ratio_interval

SETTINGS = {"level": 0.95, "num_resamples": 500}


def test_the_interval_covers_the_truth_about_as_often_as_its_level_says():
    random, hits, repeats = np.random.default_rng(0), 0, 300
    for repeat in range(repeats):
        sizes = random.integers(50, 2000, 120).astype(float)
        per_document = 1.5 + random.normal(0, 0.3, len(sizes))
        low, high = ratio_interval(sizes * per_document, sizes, seed=repeat, **SETTINGS)
        hits += low <= 1.5 <= high
    # 300 repeats of a 95 % interval lie between 91 % and 98 % with a probability above 99 %.
    assert 0.91 <= hits / repeats <= 0.98


def test_equal_scores_give_equal_intervals():
    totals, sizes = np.arange(1.0, 40.0), np.full(39, 10.0)
    first, again = (ratio_interval(totals, sizes, seed=7, **SETTINGS) for _ in range(2))
    assert first == again != ratio_interval(totals, sizes, seed=8, **SETTINGS)


def test_many_documents_are_drawn_in_pieces_that_do_not_show(monkeypatch):
    totals, sizes = np.arange(1.0, 40.0), np.full(39, 10.0)
    whole = ratio_interval(totals, sizes, seed=7, **SETTINGS)
    monkeypatch.setattr("components.core.intervals._DRAWS_AT_ONCE", 100)
    assert ratio_interval(totals, sizes, seed=7, **SETTINGS) == whole


def test_one_document_has_no_interval():
    assert ratio_interval(np.ones(1), np.ones(1), seed=1, **SETTINGS) is None


def test_documents_that_agree_leave_no_doubt():
    low, high = ratio_interval(np.full(5, 3.0), np.full(5, 2.0), seed=1, **SETTINGS)
    assert low == high == 1.5
