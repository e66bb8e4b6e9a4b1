"""Documents and records become examples: in the right split, as many as are wanted, all of them counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.collected import FILE, RECORDS
from components.core.documents import CORPUS, document_id
from components.core.errors import ParamsError
from components.core.examples import begin, join, read_asked, read_examples
from components.core.params import parse
from components.core.stage import Report
from components.prepare import STAGES
from tests.components.pack.world import write_checks


def write_corpus(folder: Path, num: int = 60) -> Path:
    folder.mkdir()
    rows = [
        {"doc_id": document_id("w", str(i)), "text": f"The text number {i}.", "source": f"s{i % 3}", "uri": f"w:{i}",
         "licence": "MIT", "language": "en", "meta": json.dumps({"kind": "function", "name": f"s.f{i}"}),
         "split": ["train", "train", "train", "validation", "test"][i % 5]}
        for i in range(num)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, CORPUS), folder / "documents-00000.parquet")
    return folder


def write_records(folder: Path, application: str, records: list[dict[str, Any]], split: str | None = None) -> Path:
    folder.mkdir()
    rows = [
        {"record_id": document_id("r", str(i)), "application": application, "source": "r", "uri": f"r#{i}",
         "licence": "MIT", "language": "en", "split": split, "text": json.dumps(record)}
        for i, record in enumerate(records)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, RECORDS), folder / FILE)
    return folder


def prepare(
    folder: Path, application: str, records: list[dict[str, Any]], split: str | None = None, **values: Any
) -> Report:
    """Run the stage by its function; its output is ``folder / output``."""
    (folder / "output").mkdir()
    corpus = write_corpus(folder / "corpus")
    inputs = {"collected": write_records(folder / "collected", application, records, split), "corpus": corpus,
              "checks": write_checks(folder / "checks", document_id("w", "0"))}  # fmt: skip
    stage = STAGES["prepare@"].of(application)
    config = parse(values, stage.config, "test")
    report: Report = stage.function(config, **inputs, output=folder / "output", key=stage.key)
    assert report.books is not None
    report.books.check(stage.name)
    return report


def test_a_document_makes_an_example_in_its_own_split_unless_it_was_set_aside(tmp_path: Path) -> None:
    report = prepare(tmp_path, "classify", [], from_corpus=True)
    rows = read_examples(tmp_path / "output").to_pylist()
    assert len(rows) == report.metrics["train_examples"] + 12 + 12 == 59
    assert document_id("w", "0") not in {row["group"] for row in rows}
    one = next(row for row in rows if row["group"] == document_id("w", "3"))
    assert (one["split"], one["answer"], one["references"]) == ("validation", "s0", ["s0"])
    assert one["prompt"].endswith("The text number 3.\n[label]\n")
    assert read_asked(tmp_path / "output").choices == ["s0", "s1", "s2"]


def test_records_are_divided_by_their_identity_and_missing_labels_stay_to_be_found(tmp_path: Path) -> None:
    records = [{"words": f"number {i}", "label": None if i == 7 else "odd" if i % 2 else "even"} for i in range(200)]
    prepare(tmp_path, "classify", [*records, {"words": 3, "label": "odd"}], columns={"text": "words"})
    rows = read_examples(tmp_path / "output").to_pylist()
    shares = [sum(row["split"] == split for row in rows) for split in ("train", "validation", "test")]
    assert sum(shares) == 200
    assert 140 < shares[0] < 180
    assert sum(row["answer"] is None for row in rows) == 1
    assert pq.read_table(tmp_path / "output" / "rejected.parquet")["reason"].to_pylist() == ["unreadable"]


def test_no_more_examples_are_taken_than_wanted_and_the_others_are_counted(tmp_path: Path) -> None:
    report = prepare(tmp_path, "classify", [], from_corpus=True, max_train_examples=10, max_held_out_examples=3)
    assert report.books is not None
    assert report.books.kept == 16
    assert report.books.dropped == {"over_limit": 43}


def test_an_unknown_application_and_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such application"):
        prepare(tmp_path, "clasify", [])
    (tmp_path / "second").mkdir()
    with pytest.raises(ParamsError, match="unknown key"):
        prepare(tmp_path / "second", "classify", [], options={"labels": "kind"})


def test_of_a_prompt_that_is_too_long_the_middle_is_left_out() -> None:
    assert begin(np.arange(10), 99, 5).tolist() == [99, 0, 1, 8, 9]
    tokens, is_answer = join(np.arange(10), np.array([50, 51]), 99, 9)
    assert tokens.tolist() == [99, 0, 1, 2, 8, 9, 50, 51, 99]
    assert is_answer.tolist() == [False] * 6 + [True] * 3
    assert join(np.arange(10), np.arange(50, 70), 99, 8).tokens.tolist() == [99, 0, 1, 9, 50, 51, 52, 53]
