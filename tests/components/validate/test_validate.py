"""Every expectation catches the fault that was planted for it, and a sound world passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.core.errors import GateError, InputError, ParamsError
from components.core.files import read_json
from components.core.params import parse
from components.core.stage import Report
from components.validate import STAGES
from tests.components.validate import world

SECRET = "the secret text of a failing document"
DOCUMENTS, CORPUS, TOKENS = "validate@documents", "validate@corpus", "validate@tokens"
Rows = list[dict[str, Any]]
Splits = dict[str, dict[str, Any]]


def run(stage: str, subject: Path, output: Path, **changes: Any) -> Report:
    """Run a stage by its function on ``subject``."""
    output.mkdir(exist_ok=True)
    values = {**world.CONFIGS[stage], **changes}
    config = parse(values, STAGES[stage].config, "test")
    report: Report = STAGES[stage].function(config, subject=subject, output=output)
    assert report.books is not None
    report.books.check(stage)
    return report


def run_rows(rows: Rows, folder: Path, stage: str = DOCUMENTS, **changes: Any) -> Report:
    (folder / "subject").mkdir()
    world.write_documents(folder / "subject", rows, has_split=stage == CORPUS)
    return run(stage, folder / "subject", folder / "output", **changes)


def run_tokens(splits: Splits, folder: Path, **changes: Any) -> Report:
    (folder / "subject").mkdir()
    world.write_tokens(folder / "subject", splits)
    return run(TOKENS, folder / "subject", folder / "output", **changes)


def found(folder: Path, name: str) -> dict[str, Any]:
    """The finding ``name`` of the result in ``folder``."""
    expectations = read_json(folder / "output" / "result.json")["expectations"]
    return next(dict(entry) for entry in expectations if entry["name"] == name)


def quarantine(folder: Path) -> list[tuple[str, str]]:
    table = pq.read_table(folder / "output" / "quarantine.parquet")
    return list(zip(table["doc_id"].to_pylist(), table["reason"].to_pylist(), strict=True))


@pytest.mark.parametrize("stage", world.CONFIGS)
def test_a_sound_world_passes_with_equal_bytes(stage: str, tmp_path: Path) -> None:
    subject = world.make_world(tmp_path, stage)["subject"]
    reports = [run(stage, subject, tmp_path / name) for name in ("first", "second")]
    assert reports[0] == reports[1]
    assert reports[0].metrics["quarantined_share"] == 0
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["page.html", "profile.json", "quarantine.parquet", "result.json"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


# A fault of one row: the document is set aside.
ROW_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("source_stated", {"source": None}),
    ("source_stated", {"source": "  "}),
    ("licence_stated", {"licence": None}),
    ("licence_stated", {"licence": "unknown"}),
    ("characters_in_bounds", {"text": ""}),
    ("characters_in_bounds", {"text": None}),
    ("characters_in_bounds", {"text": "nine char"}),
    ("characters_in_bounds", {"text": "long " * 200_001}),
    ("replacement_rare", {"text": SECRET + "\ufffd" * 2}),
    ("control_rare", {"text": SECRET + "\x00\x1b"}),
    ("control_rare", {"text": SECRET + "\x85\x7f"}),
    ("letters_common", {"text": "1 2 3 4 5 6 7 8 9 10 11 12"}),
]


@pytest.mark.parametrize(("name", "fault"), ROW_FAULTS)
def test_a_faulty_document_is_set_aside_with_its_reason(name: str, fault: dict[str, Any], tmp_path: Path) -> None:
    rows = world.make_documents(100)
    rows[17] |= fault
    report = run_rows(rows, tmp_path)
    assert (rows[17]["doc_id"], name) in quarantine(tmp_path)
    assert {doc_id for doc_id, _ in quarantine(tmp_path)} == {rows[17]["doc_id"]}
    assert report.books is not None
    assert (report.books.received, report.books.kept) == (100, 99)
    assert found(tmp_path, name)["state"] == "quarantined"


def repeat_texts(rows: Rows) -> None:
    for row in rows[:60]:
        row["text"] = rows[0]["text"]


def repeat_identity(rows: Rows) -> None:
    rows[5]["doc_id"] = rows[6]["doc_id"]


def set_all(rows: Rows, share: float, **values: Any) -> None:
    for row in rows[: int(len(rows) * share)]:
        row |= values


# A fault of the whole, or of too many rows: the gate closes.
DOCUMENT_FAULTS: list[tuple[str, Callable[[Rows], object]]] = [
    ("documents_present", lambda rows: rows.clear()),
    ("documents_present", lambda rows: rows.__delitem__(slice(49, None))),
    ("documents_distinct", repeat_texts),
    ("doc_id_present", lambda rows: rows[3].update(doc_id=None)),
    ("doc_id_unique", repeat_identity),
    ("source_stated", lambda rows: set_all(rows, 0.11, source="")),
    ("licence_stated", lambda rows: set_all(rows, 0.11, licence="Unknown")),
    ("characters_in_bounds", lambda rows: set_all(rows, 0.11, text="short")),
    ("replacement_rare", lambda rows: set_all(rows, 0.11, text="\ufffd letters are lost")),
    ("control_rare", lambda rows: set_all(rows, 0.11, text="\x01 letters are hidden")),
    ("letters_common", lambda rows: set_all(rows, 0.11, text="12345 67890 12345")),
]


@pytest.mark.parametrize(("name", "plant"), DOCUMENT_FAULTS)
def test_a_faulty_table_closes_the_gate(name: str, plant: Callable[[Rows], object], tmp_path: Path) -> None:
    rows = world.make_documents(100)
    plant(rows)
    with pytest.raises(GateError, match=f"validate@documents, expectation {name}:"):
        run_rows(rows, tmp_path)
    assert not found(tmp_path, name)["success"]
    page = (tmp_path / "output" / "page.html").read_text()
    assert "The gate is closed" in page


def test_the_error_names_expectation_value_limit_and_setting(tmp_path: Path) -> None:
    rows = world.make_documents(100)
    set_all(rows, 0.2, text="short")
    with pytest.raises(GateError) as caught:
        run_rows(rows, tmp_path)
    assert "expectation characters_in_bounds" in caught.value.where
    assert "20 of 100 rows outside (20 %)" in caught.value.found
    assert caught.value.expected == "10 to 1,000,000 characters, in all but 10 % of the rows"
    assert "validate.documents.min_characters" in caught.value.fix


def test_a_little_of_everything_is_too_much_together(tmp_path: Path) -> None:
    rows = world.make_documents(100)
    for i, fault in enumerate([{"licence": ""}, {"text": "x"}, {"text": "1234567890 12345"}]):
        for row in rows[i * 4 : i * 4 + 4]:
            row |= fault
    with pytest.raises(GateError, match="expectation quarantine_small"):
        run_rows(rows, tmp_path)
    assert found(tmp_path, "quarantine_small")["observed"] == pytest.approx(0.12)


def test_as_many_faulty_documents_as_the_limit_allows_are_set_aside(tmp_path: Path) -> None:
    rows = world.make_documents(100)
    set_all(rows, 0.10, licence="")
    report = run_rows(rows, tmp_path)
    assert report.metrics["quarantined_share"] == pytest.approx(0.1)


def test_a_document_with_two_faults_is_counted_once_and_told_twice(tmp_path: Path) -> None:
    rows = world.make_documents(100)
    rows[8] |= {"licence": "", "text": "12"}
    report = run_rows(rows, tmp_path)
    assert report.books is not None
    assert report.books.dropped == {"licence_stated": 1}
    reasons = [reason for _, reason in quarantine(tmp_path)]
    assert reasons == ["characters_in_bounds", "letters_common", "licence_stated"]


@pytest.mark.parametrize("share", [0.04, 0.5])
def test_no_text_leaves_the_stage(share: float, tmp_path: Path) -> None:
    rows = world.make_documents(100)
    set_all(rows, share, text=SECRET + "\ufffd\ufffd\x00\x01")
    if share > 0.1:
        with pytest.raises(GateError) as caught:
            run_rows(rows, tmp_path)
        assert "secret" not in str(caught.value)
    else:
        run_rows(rows, tmp_path)
    for path in (tmp_path / "output").iterdir():
        assert b"secret" not in path.read_bytes()
    assert "secret" not in str(pq.read_table(tmp_path / "output" / "quarantine.parquet").to_pylist())


def move(rows: Rows, split: str, share: float = 1.0) -> None:
    for row in rows[: int(len(rows) * share)]:
        row["split"] = split


def copy_across_splits(rows: Rows) -> None:
    rows[1]["text"] = rows[0]["text"]


CORPUS_FAULTS: list[tuple[str, Callable[[Rows], object]]] = [
    ("documents_present", lambda rows: rows.clear()),
    ("documents_distinct", copy_across_splits),
    ("split_known", lambda rows: rows[4].update(split="dev")),
    ("split_known", lambda rows: rows[4].update(split=None)),
    ("validation_share", lambda rows: [row.update(split="train") for row in rows if row["split"] == "validation"]),
    ("validation_share", lambda rows: move(rows, "validation", 0.5)),
    ("test_share", lambda rows: [row.update(split="train") for row in rows if row["split"] == "test"]),
]


@pytest.mark.parametrize(("name", "plant"), CORPUS_FAULTS)
def test_a_faulty_corpus_closes_the_gate(name: str, plant: Callable[[Rows], object], tmp_path: Path) -> None:
    rows = world.make_documents(100)
    plant(rows)
    with pytest.raises(GateError, match=f"validate@corpus, expectation {name}:"):
        run_rows(rows, tmp_path, CORPUS)


def lose_a_split(splits: Splits) -> None:
    del splits["test"]


def skip_a_token(splits: Splits) -> None:
    splits["test"]["stream"] = np.append(splits["test"]["stream"], 5)


def shift_offsets(splits: Splits) -> None:
    splits["train"]["offsets"] = np.append(1, splits["train"]["offsets"][1:])


def lose_a_row(splits: Splits) -> None:
    splits["train"]["table"] = {name: column[:-1] for name, column in splits["train"]["table"].items()}


def cut_to_crumbs(splits: Splits) -> None:
    splits["test"] = world.make_split("test", 20, 9)
    table = {name: column[:1] for name, column in splits["test"]["table"].items()}
    splits["test"] |= {"stream": np.array([1, 2, 0]), "offsets": np.array([0, 3])}
    splits["test"]["table"] = table | {"num_bytes": [6], "num_tokens": [3]}


def leave_the_vocabulary(splits: Splits) -> None:
    splits["validation"]["stream"][7] = world.VOCABULARY


def use_few_tokens(splits: Splits) -> None:
    stream = splits["train"]["stream"]
    stream[stream != 0] = 1 + stream[stream != 0] % 24


def say_one_thing(splits: Splits) -> None:
    stream = splits["train"]["stream"]
    stream[: len(stream) // 2][stream[: len(stream) // 2] != 0] = 1


def scale_bytes(splits: Splits, factor: float) -> None:
    table = splits["validation"]["table"]
    table["num_bytes"] = [int(num * factor) for num in table["num_bytes"]]


def make_short_documents(splits: Splits) -> None:
    texts = [[1 + i % 60, 2 + i % 50] for i in range(40)]
    splits["test"] = {
        "stream": np.array([token for text in texts for token in (*text, 0)]), "offsets": np.arange(41) * 3,
        "table": {"doc_id": [f"short{i}" for i in range(40)], "source": ["world"] * 40, "language": [None] * 40,
                  "num_bytes": [6] * 40, "num_tokens": [3] * 40},
    }  # fmt: skip


def repeat_windows(splits: Splits) -> None:
    """The first half of the stream once more; all windows of the copy stand at multiples of the context."""
    split, context = splits["train"], world.CONTEXT
    half = len(split["stream"]) // 2 // context * context
    split["stream"][half : 2 * half] = split["stream"][:half]


def pack_twice(splits: Splits) -> None:
    splits["test"]["table"]["doc_id"][0] = splits["train"]["table"]["doc_id"][0]


def fold_offsets(splits: Splits) -> None:
    offsets = splits["train"]["offsets"]
    offsets[[3, 4]] = offsets[[4, 3]]


def misstate_a_length(splits: Splits) -> None:
    splits["train"]["table"]["num_tokens"][2] += 1


def lose_an_end(splits: Splits) -> None:
    split = splits["train"]
    split["stream"][split["offsets"][3] - 1] = 7


def end_inside(splits: Splits) -> None:
    split = splits["train"]
    split["stream"][split["offsets"][3] + 4] = 0


def empty_everything(splits: Splits) -> None:
    for split in splits.values():
        split |= {"stream": np.array([], dtype=int), "offsets": np.array([0])}
        split["table"] = {name: [] for name in split["table"]}


TOKEN_FAULTS: list[tuple[str, Callable[[Splits], object]]] = [
    ("splits_present", lose_a_split),
    ("documents_cover_stream", skip_a_token),
    ("documents_cover_stream", shift_offsets),
    ("documents_cover_stream", lose_a_row),
    ("windows_present", cut_to_crumbs),
    ("tokens_in_range", leave_the_vocabulary),
    ("vocabulary_used", use_few_tokens),
    ("tokens_varied", say_one_thing),
    ("tokens_long", lambda splits: scale_bytes(splits, 0.4)),
    ("tokens_short", lambda splits: scale_bytes(splits, 6)),
    ("end_of_text_rare", make_short_documents),
    ("windows_distinct", repeat_windows),
    ("packed_documents_present", empty_everything),
    ("packed_once", pack_twice),
    ("offsets_grow", fold_offsets),
    ("lengths_true", misstate_a_length),
    ("documents_end", lose_an_end),
    ("documents_end_once", end_inside),
]


@pytest.mark.parametrize(("name", "plant"), TOKEN_FAULTS)
def test_faulty_tokens_close_the_gate(name: str, plant: Callable[[Splits], object], tmp_path: Path) -> None:
    splits = world.make_tokens()
    plant(splits)
    with pytest.raises(GateError, match="validate@tokens, expectation"):
        run_tokens(splits, tmp_path)
    assert not found(tmp_path, name)["success"]
    assert quarantine(tmp_path) == []


def test_every_expectation_has_a_planted_fault(tmp_path: Path) -> None:
    planted = {name for name, _ in [*ROW_FAULTS, *DOCUMENT_FAULTS, *CORPUS_FAULTS, *TOKEN_FAULTS]}
    expected = set()
    for stage in world.CONFIGS:
        folder = tmp_path / stage
        run(stage, world.make_world(folder, stage)["subject"], folder / "output")
        expected |= {entry["name"] for entry in read_json(folder / "output" / "result.json")["expectations"]}
    assert expected - planted == {"quarantine_small"}


def test_documents_are_named_once_each_and_never_across_the_line(tmp_path: Path) -> None:
    splits = world.make_tokens()
    lose_an_end(splits)
    with pytest.raises(GateError):
        run_tokens(splits, tmp_path)
    assert found(tmp_path, "documents_end")["examples"] == [splits["train"]["table"]["doc_id"][2]]


def test_tokens_that_contradict_their_layout_are_refused(tmp_path: Path) -> None:
    subject = world.make_world(tmp_path, TOKENS)["subject"]
    np.save(subject / "train-00000.tokens.npy", np.arange(5, dtype="<u2"))
    with pytest.raises(InputError, match=r"layout\.json"):
        run(TOKENS, subject, tmp_path / "output")


def test_a_damaged_shard_is_refused_by_name(tmp_path: Path) -> None:
    subject = world.make_world(tmp_path)["subject"]
    (subject / "documents-00001.parquet").write_bytes(b"not Parquet")
    with pytest.raises(InputError, match=r"documents-00001\.parquet"):
        run(DOCUMENTS, subject, tmp_path / "output")


def test_a_check_that_cannot_be_evaluated_is_a_failure_with_its_own_message() -> None:
    import polars as pl
    from great_expectations.expectations import core as gx

    from components.validate.judge import judge
    from components.validate.verdict import Verdict

    meta = {"name": "broken", "limit": "any", "settings": [], "is_share": False}
    suite = [gx.ExpectColumnMeanToBeBetween(column="absent", max_value=1, description="A broken check", meta=meta)]
    findings = judge(pl.DataFrame({"doc_id": ["a"]}), "doc_id", suite)
    assert not findings[0].is_met
    assert "could not be evaluated" in findings[0].told
    assert "absent" in findings[0].told
    assert Verdict("documents", 1, tuple(findings), "validate@documents", "validate.documents").failed


def test_the_page_is_offline_and_names_documents_by_identity(tmp_path: Path) -> None:
    rows = world.make_documents(100)
    rows[17] |= {"text": "short", "source": "<script>alert(1)</script>"}
    run_rows(rows, tmp_path)
    page = (tmp_path / "output" / "page.html").read_text()
    assert rows[17]["doc_id"] in page
    assert "<script" not in page
    assert not re.search(r"https?:", page)
    for entry in read_json(tmp_path / "output" / "result.json")["expectations"]:
        assert entry["title"] in page
        assert entry["limit"] in page


@pytest.mark.parametrize(
    ("stage", "values"),
    [(DOCUMENTS, {"min_characters": 9, "max_characters": 8}), (DOCUMENTS, {"min_documents": 0}),
     (DOCUMENTS, {"max_repeated_share": 1.5}), (CORPUS, {"min_held_out_share": 0.5, "max_held_out_share": 0.4}),
     (TOKENS, {"min_bytes_per_token": 5.0, "max_bytes_per_token": 4.0}), (TOKENS, {"min_window": 1})],
)  # fmt: skip
def test_limits_that_cannot_be_meant_are_refused(stage: str, values: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        parse(values, STAGES[stage].config, "params.yaml")


def test_the_room_is_imported_without_the_library() -> None:
    import subprocess
    import sys

    code = "import sys, components.validate; sys.exit('great_expectations' in sys.modules or 'polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
