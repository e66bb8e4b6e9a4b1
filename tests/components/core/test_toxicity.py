"""The judge of toxic texts, learned and measured on real tweets; what it must not do is told in its module."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from components.core.errors import InputError
from components.core.files import sha256_file
from components.core.pinned import PinnedFile
from components.core.toxicity import learn
from tests.worlds import SHARED_DATA

TWEETS = SHARED_DATA / "toxic_tune" / "tweets.csv"
HARMLESS = "2"  # the class of neither hate speech nor offensive language


def write(path: Path, rows: list[tuple[str, int]]) -> PinnedFile:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "toxic"), *rows])
    return PinnedFile(path=str(path), sha256=sha256_file(path))


def made_up(toxic: str = "awful", harmless: str = "kind") -> list[tuple[str, int]]:
    """Texts that some words alone make toxic; all others stand in as many harmless ones."""
    others = [f"{a} {b}" for a in ("you", "they", "we", "") for b in ("thing", "person", "text", "word", "")]
    return [
        (f"{word} {others[number % 20]} {number}", label)
        for label, word in enumerate((harmless, toxic)) for number in range(200)
    ]  # fmt: skip


def toxic_texts(path: Path, most: int | None = None) -> PinnedFile:
    """The tweets, or the first of them, as a judge wants them."""
    with TWEETS.open(newline="") as file:
        rows = islice(csv.DictReader(file), most)
        return write(path, [(row["tweet"], int(row["class"] != HARMLESS)) for row in rows])


def test_a_judge_learned_from_tweets_finds_most_of_what_people_called_toxic(tmp_path: Path) -> None:
    if not TWEETS.exists():
        pytest.skip(f"no shared data at {TWEETS}")
    judge = learn(toxic_texts(tmp_path / "tweets.csv"))
    assert judge.auc > 0.95
    assert judge.recall > 0.65
    docstrings = ["Return the shortest path between two nodes of a graph.", "Parameters: x, array_like"]
    assert judge.mark(docstrings) == [False, False]
    assert judge.mark([]) == []


def test_a_judge_knows_again_what_it_was_told_is_toxic(tmp_path: Path) -> None:
    judge = learn(write(tmp_path / "labelled.csv", made_up()))
    assert (judge.auc, judge.recall) == (1.0, 1.0)
    assert judge.mark(["You are an awful person.", "You are a kind person."]) == [True, False]


def test_too_few_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="text and toxic"):
        learn(write(tmp_path / "few.csv", [("you are nice", 0)] * 200))


@pytest.fixture
def usual_fields() -> Iterator[None]:
    """The longest field of Python's own csv, whatever readers of records set in this process before."""
    before = csv.field_size_limit(1 << 17)
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("usual_fields")
def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)field larger.*text and toxic"):
        learn(write(tmp_path / "long.csv", [("word " * 100_000, 1)]))


def test_a_text_that_stands_there_often_is_one_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 different toxic and 200 different harmless"):
        learn(write(tmp_path / "same.csv", [*made_up()[:200], *[("you are awful", 1)] * 200]))


def test_texts_without_blanks_between_their_words_are_refused(tmp_path: Path) -> None:
    rows = [(f"这是第{number}句话", label) for label in (0, 1) for number in range(200 * label, 200 * label + 200)]
    with pytest.raises(InputError, match="no word that two texts share"):
        learn(write(tmp_path / "chinese.csv", rows))
