"""The judge of toxic texts, learned and measured on real tweets; what it must not do is told in its module."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from components.assess.questions import Said
from components.assess.toxicity import learn
from components.core.errors import InputError
from components.core.files import sha256_file
from components.core.pinned import PinnedFile
from tests.worlds import SHARED_DATA

TWEETS = SHARED_DATA / "toxic_tune" / "tweets.csv"
HARMLESS = "2"  # the class of neither hate speech nor offensive language


def write(path: Path, rows: list[tuple[str, int]]) -> PinnedFile:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "toxic"), *rows])
    return PinnedFile(path=str(path), sha256=sha256_file(path))


def toxic_texts(path: Path) -> PinnedFile:
    """The tweets, as a judge wants them."""
    with TWEETS.open(newline="") as file:
        return write(path, [(row["tweet"], int(row["class"] != HARMLESS)) for row in csv.DictReader(file)])


def test_a_judge_learned_from_tweets_finds_most_of_what_people_called_toxic(tmp_path: Path) -> None:
    if not TWEETS.exists():
        pytest.skip(f"no shared data at {TWEETS}")
    judge = learn(toxic_texts(tmp_path / "tweets.csv"))
    assert judge.auc > 0.95
    assert judge.recall > 0.65
    docstrings = ["Return the shortest path between two nodes of a graph.", "Parameters: x, array_like"]
    marked = judge.mark([*(Said(text=text) for text in docstrings), Said(ranked=("a",))])
    assert [one.is_toxic for one in marked] == [False, False, None]


def test_too_few_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="text and toxic"):
        learn(write(tmp_path / "few.csv", [("you are nice", 0)] * 200))
