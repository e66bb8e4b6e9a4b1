"""The 5-gram baseline: a probability distribution, and the one of the textbook."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from components.model import ngram
from components.model.ngram import NGramModel

VOCABULARY, END = 8, 0


def some_documents(seed, num_documents=80):
    """Documents of skewed, repetitive tokens, each ending with end of text; some hold nothing else."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 12, num_documents)
    return [np.append(1 + random.integers(0, VOCABULARY - 2, n) ** 2 % (VOCABULARY - 2), END) for n in lengths]


class PlainModel:
    """Interpolated modified Kneser-Ney by dictionaries, straight from Chen and Goodman (1999)."""

    def __init__(self, documents):
        self.counts = [Counter() for _ in range(ngram.ORDER)]
        for document in documents:
            padded = [END] * (ngram.ORDER - 1) + list(document)
            for end in range(ngram.ORDER - 1, len(padded)):
                self.counts[-1][tuple(padded[end - ngram.ORDER + 1 : end + 1])] += 1
        for order in reversed(range(ngram.ORDER - 1)):
            for gram in self.counts[order + 1]:
                self.counts[order][gram[1:]] += 1
        self.followers = [defaultdict(list) for _ in range(ngram.ORDER)]
        for order, counts in enumerate(self.counts):
            for gram, count in counts.items():
                self.followers[order][gram[:-1]].append(count)
        self.discounts = [ngram._discounts(np.array(list(counts.values()))) for counts in self.counts]

    def probability(self, context, token):
        context = tuple(([END] * (ngram.ORDER - 1) + list(context))[-(ngram.ORDER - 1) :])
        found = 1 / VOCABULARY
        for order in range(ngram.ORDER):
            after = context[len(context) - order :]
            counts, discounts = self.followers[order][after], self.discounts[order]
            if counts:
                count = self.counts[order][(*after, token)]
                given_up = sum(discounts[min(c, 3)] for c in counts)
                found = (count - discounts[min(count, 3)] + given_up * found) / sum(counts)
        return found


@pytest.mark.parametrize("seed", range(3))
def test_every_probability_is_that_of_the_plain_model(seed):
    model, plain = NGramModel(some_documents(seed), VOCABULARY, END), PlainModel(some_documents(seed))
    for document, found in zip(some_documents(9), model.log_probabilities(some_documents(9)), strict=True):
        expected = [math.log(plain.probability(document[:i], token)) for i, token in enumerate(document)]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("context", [[], [1], [4, 1], [1, 4, 3, 5], [7, 7, 7, 7, 7, 7], [2, 7, 1]])
@pytest.mark.parametrize("num_documents", [1, 3, 80])
def test_the_probabilities_of_all_tokens_sum_to_one_after_any_context(context, num_documents):
    model = NGramModel(some_documents(0, num_documents), VOCABULARY, END)
    continued = [np.array([*context, token]) for token in range(VOCABULARY)]
    last = [found[-1] for found in model.log_probabilities(continued)]
    assert sum(map(math.exp, last)) == pytest.approx(1, abs=1e-12)
    assert min(last) > -math.inf


def test_a_document_is_scored_alike_wherever_it_stands():
    model, documents = NGramModel(some_documents(0), VOCABULARY, END), some_documents(1)
    together = model.log_probabilities(documents)
    for document, found in zip(documents, together, strict=True):
        np.testing.assert_array_equal(model.log_probabilities([document])[0], found)


def test_what_was_seen_often_is_likely():
    model = NGramModel([np.array([1, 2, 3, 4, 5, END])] * 50, VOCABULARY, END)
    assert np.exp(model.log_probabilities([np.array([1, 2, 3, 4, 5, END])])[0]).min() > 0.9


def test_discounts_are_those_of_the_paper_where_the_counts_allow_it():
    counts = np.repeat([1, 2, 3, 4, 7], [1000, 300, 150, 90, 50])
    ratio = 1000 / (1000 + 2 * 300)
    expected = [0, 1 - 2 * ratio * 300 / 1000, 2 - 3 * ratio * 150 / 300, 3 - 4 * ratio * 90 / 150]
    np.testing.assert_allclose(ngram._discounts(counts), expected)
    np.testing.assert_array_equal(ngram._discounts(np.array([1, 1, 2])), ngram._FALLBACK)
