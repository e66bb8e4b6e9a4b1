"""Every kind of faulty annotation is found, counted and set aside; what is sound passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.errors import GateError
from components.core.examples import EXAMPLES, REJECTED, Asked, write_examples
from components.core.files import read_json
from components.core.params import parse
from components.core.stage import Report
from components.validate import STAGES

Row = dict[str, Any]
LABELS = ["cat", "dog"]
CONFIG = {"min_train_examples": 40, "min_held_out_examples": 5, "max_quarantined_share": 0.2}


def make_rows(num: int = 80) -> list[Row]:
    """Sound examples with two labels."""
    splits = ["validation", "test", *["train"] * 6]
    return [
        {
            "example_id": f"{i:032d}", "split": splits[i % 8], "group": f"g{i}",
            "request": "{}", "prompt": f"Text number {i}\n",
            "answer": LABELS[i % 2], "references": [LABELS[i % 2]], "choices": [], "source": "s", "licence": "MIT",
            "language": None, "expectations": [{"sentence": "An answer is kind", "holds": True}],
        }
        for i in range(num)
    ]  # fmt: skip


def check(rows: list[Row], folder: Path, decoding: str = "choose", **changes: Any) -> Report:
    """Run the stage by its function on ``rows``."""
    (folder / "subject").mkdir()
    (folder / "output").mkdir()
    asked = Asked.model_validate({"application": "pets", "decoding": decoding, "choices": LABELS, "example": {}})
    write_examples(folder / "subject", pa.Table.from_pylist(rows, EXAMPLES), REJECTED.empty_table(), asked)
    stage = STAGES["check@"].of("pets")
    config = parse({**CONFIG, **changes}, stage.config, "test")
    report: Report = stage.function(config, subject=folder / "subject", output=folder / "output", key=stage.key)
    assert report.books is not None
    report.books.check(stage.name)
    return report


def aside(folder: Path) -> list[tuple[str, str]]:
    """What was set aside, as (number of the row, reason)."""
    table = pq.read_table(folder / "output" / "quarantine.parquet")
    return [(int(name), reason) for name, reason in zip(*table.to_pydict().values(), strict=True)]


def test_sound_examples_pass(tmp_path: Path) -> None:
    report = check(make_rows(), tmp_path)
    assert report.books is not None
    assert report.books.kept == report.books.received == 80


FAULTS: list[tuple[str, list[tuple[int, Row]], list[int]]] = [
    ("labels_present", [(2, {"answer": None, "references": []}), (3, {"answer": " "})], [2, 3]),
    ("labels_known", [(2, {"answer": "Cat"})], [2]),
    ("examples_distinct", [(10, {"prompt": "text  number 2\n"})], [10]),
    ("labels_consistent", [(3, {"prompt": "TEXT number 2\n"})], [2, 3]),
    ("an_answer_is_kind", [(9, {"expectations": [{"sentence": "An answer is kind", "holds": False}]})], [9]),
    ("splits_apart", [(2, {"prompt": "Text number 1\n", "answer": "dog"})], [2]),
]


@pytest.mark.parametrize(("name", "plant", "expected"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_faulty_annotations_are_set_aside(
    name: str, plant: list[tuple[int, Row]], expected: list[int], tmp_path: Path
) -> None:
    rows = make_rows()
    for number, changes in plant:
        rows[number] |= changes
    report = check(rows, tmp_path)
    assert aside(tmp_path) == [(number, name) for number in expected]
    assert report.books is not None
    assert report.books.dropped == {name: len(expected)}


def test_a_text_that_is_written_may_have_two_right_answers(tmp_path: Path) -> None:
    rows = make_rows()
    rows[3] |= {"prompt": rows[2]["prompt"], "answer": "something else"}
    assert check(rows, tmp_path, decoding="write").metrics["quarantined_share"] == 0


@pytest.mark.parametrize(
    ("name", "rows", "changes"),
    [("examples_present", [], {}), ("train_examples", make_rows(30), {}), ("test_examples", make_rows(64)[:60], {
        "min_held_out_examples": 9}), ("labels_varied", make_rows(), {"max_choice_share": 0.4}),
     ("labels_present", [row | {"answer": None} for row in make_rows()], {})],
)  # fmt: skip
def test_what_is_wrong_with_the_whole_closes_the_gate(
    name: str, rows: list[Row], changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(GateError, match="check@pets, expectation"):
        check(rows, tmp_path, **changes)
    result = read_json(tmp_path / "output" / "result.json")
    assert name in [entry["name"] for entry in result["expectations"] if entry["state"] == "failed"]
