"""Wrongly decoded texts are put right, sound ones keep their bytes, and RE2 asks exactly what ftfy asks."""

import pyarrow as pa
import pytest
from ftfy.badness import is_bad

from components.preprocess.mojibake import _looks_wrong, repair
from tests.benchmarks.accuracy import score_mojibake
from tests.worlds import SHARED_DATA

needs_data = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data sets are not here")


def test_a_wrong_line_is_repaired_and_its_neighbours_stay() -> None:
    texts = pa.array(["naïve café\nvoilÃ le travail\nVYBAVENÍ “a”", "plain", "Für Élise", "fÃ¼r"], pa.large_string())
    repaired = repair(texts)
    assert repaired.texts.to_pylist() == ["naïve café\nvoilà le travail\nVYBAVENÍ “a”", "plain", "Für Élise", "für"]
    assert repaired.num_repaired == 2


def test_repairing_twice_changes_nothing_more() -> None:
    once = repair(pa.array(["l\x92été Ã©tait lÃ"], pa.large_string())).texts
    assert repair(once).num_repaired == 0


@needs_data
def test_every_labelled_case_comes_out_exactly() -> None:
    for name, right, number in score_mojibake():
        assert right == number, name


@needs_data
def test_re2_answers_as_ftfy_does_for_sentences_of_many_languages() -> None:
    lines = (SHARED_DATA / "langid_tune" / "sentences.tsv").read_text().splitlines()
    sentences = [line.split("\t")[-1] for line in lines]
    differing = [text for text in sentences if is_bad(text) != bool(_looks_wrong().search(text.encode()))]
    assert len(sentences) > 10_000
    assert differing == []
