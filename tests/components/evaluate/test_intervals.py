"""The interval over documents: it covers, it is repeatable, it says when it cannot tell."""

import numpy as np

from components.core.intervals import Group, estimate

SETTINGS = {"level": 0.95, "num_resamples": 500}


def interval(totals, sizes, seed):
    found = estimate([Group(totals, sizes)], seed=seed, **SETTINGS)
    return found and (found.low, found.high)


def test_the_interval_covers_the_truth_about_as_often_as_its_level_says():
    random, hits, repeats = np.random.default_rng(0), 0, 300
    for repeat in range(repeats):
        sizes = random.integers(50, 2000, 120).astype(float)
        per_document = 1.5 + random.normal(0, 0.3, len(sizes))
        low, high = interval(sizes * per_document, sizes, repeat)
        hits += low <= 1.5 <= high
    # 300 repeats of a 95 % interval lie between 91 % and 98 % with a probability above 99 %.
    assert 0.91 <= hits / repeats <= 0.98


def test_equal_scores_give_equal_intervals():
    totals, sizes = np.arange(1.0, 40.0) ** 4, np.full(39, 10.0)  # skew, so that draws count
    first, again = (interval(totals, sizes, 7) for _ in range(2))
    assert first == again != interval(totals, sizes, 8)


def test_many_documents_are_drawn_in_pieces_that_do_not_show(monkeypatch):
    totals, sizes = np.arange(1.0, 40.0) ** 4, np.full(39, 10.0)
    whole = interval(totals, sizes, 7)
    monkeypatch.setattr("components.core.intervals._DRAWS_AT_ONCE", 100)
    assert interval(totals, sizes, 7) == whole


def test_one_document_has_no_interval():
    assert interval(np.ones(1), np.ones(1), 1) is None
    assert interval(np.array([1.0, 0.0]), np.array([5.0, 0.0]), 1) is None


def test_few_documents_are_covered_as_often_as_many():
    random, hits, repeats = np.random.default_rng(0), 0, 400
    for repeat in range(repeats):
        sizes = np.exp(random.normal(6, 1, 20))
        low, high = interval(sizes * (1.5 + random.standard_t(5, 20) * 0.03), sizes, repeat)
        hits += low <= 1.5 <= high
    # 400 repeats of a 95 % interval lie between 92 and 97.75 % with a probability above 99 %.
    assert 0.92 <= hits / repeats <= 0.9775


def test_documents_that_agree_leave_no_doubt():
    low, high = interval(np.full(5, 3.0), np.full(5, 2.0), 1)
    assert low == high == 1.5


def test_models_on_different_documents_differ_by_the_errors_of_both():
    random = np.random.default_rng(0)
    first, second = (Group(random.normal(mean, 1, 200), np.ones(200), weight) for mean, weight in ((3, 1), (1, -1)))
    found = estimate([first, second], seed=1, **SETTINGS)
    assert found.low < 2 < found.high
    assert 0.08 < found.error < 0.12


def test_a_single_document_that_differs_leaves_doubt_but_no_endless_one():
    totals = np.zeros(60)
    totals[7] = 1.0
    low, high = interval(totals, np.ones(60), 1)
    assert low <= 0 < 1 / 60 < high < 0.1


def test_a_few_documents_with_a_size_among_many_without_give_no_interval() -> None:
    sizes = np.zeros(100)
    sizes[:2] = 3.0
    group = Group(sizes * np.linspace(0.1, 0.9, 100), sizes)
    assert estimate([group], level=0.95, num_resamples=200, seed=1) is None
