"""Scoring: every token once, each document from its own start, whatever the batches."""

import numpy as np
import pyarrow as pa
import pytest

from components.evaluate.choosing import choose
from components.evaluate.scoring import score_documents, windows_of

END = 0
SETTINGS = {"context_tokens": 128, "batch_tokens": 256, "end_of_text": END}


def some_documents():
    random = np.random.default_rng(0)
    return [np.append(random.integers(1, 50, n), END) for n in (0, 1, 63, 64, 127, 128, 129, 500, 3)]


def by_bigram(tokens):
    """A loss that depends on the token before: it shows at once when tokens are out of step."""
    return (tokens[:, :-1] * 100.0 + tokens[:, 1:])[..., None]


@pytest.mark.parametrize("num_tokens", [1, 2, 127, 128, 129, 192, 193, 1000])
def test_every_token_of_a_document_is_scored_exactly_once(num_tokens):
    scored = [i for w in windows_of(0, num_tokens, 128) for i in range(w.scored_from, w.end)]
    assert scored == list(range(num_tokens))


def test_every_token_after_the_first_window_has_half_a_context_before_it():
    windows = list(windows_of(0, 1000, 128))
    assert all(w.end - w.begin <= 128 for w in windows)
    assert all(w.scored_from - w.begin >= 64 for w in windows[1:])


def test_losses_are_those_of_scoring_each_document_alone_token_by_token():
    expected = []
    for document in some_documents():
        expected.append(by_bigram(np.append([END], document)[None]).sum())
    np.testing.assert_array_equal(score_documents(some_documents(), by_bigram, **SETTINGS)[:, 0], expected)


def test_a_model_meets_few_shapes():
    shapes = set()

    def score(tokens):
        shapes.add(tokens.shape)
        return by_bigram(tokens)

    score_documents(some_documents(), score, **SETTINGS)
    assert shapes == {(4, 65), (2, 129)}


def packed(doc_ids, num_tokens, num_bytes=None):
    size = num_bytes or [10] * len(doc_ids)
    return pa.table({"doc_id": doc_ids, "num_tokens": num_tokens, "num_bytes": size})


def test_documents_are_chosen_by_id_and_kept_in_order():
    assert choose(packed(["d", "a", "c", "b"], [5, 5, 5, 5]), max_documents=2, max_tokens=100).tolist() == [1, 3]


def test_choosing_stops_at_the_most_tokens():
    assert choose(packed(["d", "a", "c", "b"], [5, 5, 5, 5]), max_tokens=16).tolist() == [1, 2, 3]


def test_a_document_longer_than_the_limit_does_not_empty_the_choice():
    assert choose(packed(["a", "b"], [1000, 5]), max_tokens=10).tolist() == [1]


def test_an_empty_text_is_not_chosen():
    assert choose(packed(["a", "b"], [1, 5], [0, 9]), max_tokens=10).tolist() == [1]
