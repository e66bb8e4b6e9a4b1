"""The stage ``preprocess`` beside a plain reference: what is kept, what is dropped and why, and which split."""

import hashlib
import random
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.documents import CORPUS, read_row_groups
from components.core.errors import InputError, ParamsError
from components.core.files import list_files
from components.core.params import parse
from components.core.stage import Report
from components.preprocess import PreprocessConfig, preprocess
from components.preprocess.split import assign_splits
from components.preprocess.text import normalise
from tests.components.preprocess.world import CONFIG, document, make_world, write_checks, write_documents


def run(output: Path, documents: Path, checks: Path, **values: Any) -> Report:
    output.mkdir()
    config = parse({**CONFIG, **values}, PreprocessConfig, "test")
    report = preprocess(config, documents=documents, checks=checks, output=output)
    assert report.books is not None
    report.books.check("preprocess")
    return report


def corpus(output: Path) -> list[dict[str, Any]]:
    return [row for table in read_row_groups(output) for row in table.to_pylist()]


def rejects(output: Path) -> dict[str, tuple[str, str]]:
    rows = pq.read_table(output / "rejects.parquet").to_pylist()
    return {row["uri"]: (row["reason"], row["detail"]) for row in rows}


def normalise_plainly(text: str) -> str:
    """The reference: one character at a time."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = "".join("\n" if c in "\v\f\x85" else c for c in text)
    return unicodedata.normalize("NFC", "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc"))


def random_text(generator: random.Random) -> str:
    alphabet = "ab \t\n\r\0\v\f\x1b\x7f\x85\x9f" + "e\u0301o\u0308\u212b\uac00\u1100\u1161\ufb01\u2126\U0001f600中"
    return "".join(generator.choices(alphabet, k=generator.randrange(40)))


def test_normalising_agrees_with_the_plain_reference_and_doing_it_twice_changes_nothing() -> None:
    generator = random.Random(1)
    texts = [random_text(generator) for _ in range(2000)]
    once = normalise(pa.array(texts, pa.large_string()))
    assert once.to_pylist() == [normalise_plainly(text) for text in texts]
    assert normalise(once) == once


def test_the_world_is_kept_and_dropped_as_a_plain_loop_would(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    report = run(tmp_path / "output", **world)
    rows = [row for table in read_row_groups(world["documents"]) for row in table.to_pylist()]
    kept: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row["doc_id"]):
        if len(row["text"]) >= 10 and row["uri"] != "notes/3":
            kept.setdefault(row["text"], row["doc_id"])
    assert {row["text"]: row["doc_id"] for row in corpus(tmp_path / "output")} == kept
    assert report.books is not None
    assert report.books.dropped == {"duplicate": 14, "too many digits": 1, "too_short": 5}
    found = rejects(tmp_path / "output")
    assert found["notes/3"] == ("too many digits", "quarantined by the checks: too many digits")
    assert found["notes/short 0"] == ("too_short", "5 characters, at least 10")
    assert pq.read_schema(tmp_path / "output" / "documents-00000.parquet").equals(CORPUS)


def test_the_order_of_the_input_changes_neither_what_is_kept_nor_its_split(tmp_path: Path) -> None:
    rows = [document(str(n), f"a document with the number {n % 50}" + "\r" * (n % 2)) for n in range(120)]
    checks = write_checks(tmp_path / "checks", {rows[7].doc_id: "odd"})
    results = []
    for attempt in range(3):
        random.Random(attempt).shuffle(rows)
        documents = write_documents(tmp_path / f"documents {attempt}", rows, shard_documents=11 + attempt)
        run(tmp_path / f"output {attempt}", documents, checks)
        results.append({row["doc_id"]: row for row in corpus(tmp_path / f"output {attempt}")})
    assert results[0] == results[1] == results[2]


def test_texts_that_differ_only_in_spelling_are_copies_and_the_detail_names_the_kept_one(tmp_path: Path) -> None:
    spellings = ["caf\u00e9 au lait\nhere", "cafe\u0301 au lait\r\nhere", "caf\u00e9\0 au lait\rhere"]
    rows = sorted(document(str(n), text) for n, text in enumerate(spellings))
    run(tmp_path / "o", write_documents(tmp_path / "d", rows), write_checks(tmp_path / "c"))
    (kept,) = corpus(tmp_path / "o")
    assert (kept["doc_id"], kept["text"]) == (rows[0].doc_id, spellings[0])
    assert rejects(tmp_path / "o")[rows[1].uri] == ("duplicate", f"the text of {kept['doc_id']}, which is kept")


def test_a_quarantined_document_does_not_take_its_copies_with_it(tmp_path: Path) -> None:
    rows = sorted(document(str(n), "the same text twice") for n in range(2))
    checks = write_checks(tmp_path / "c", {rows[0].doc_id: "bad"})
    run(tmp_path / "o", write_documents(tmp_path / "d", rows), checks)
    assert [row["doc_id"] for row in corpus(tmp_path / "o")] == [rows[1].doc_id]


def test_a_document_with_several_reasons_is_counted_once_and_names_all(tmp_path: Path) -> None:
    row = document("1", "a document that failed twice")
    checks = write_checks(tmp_path / "c")
    pq.write_table(pa.table({"doc_id": [row.doc_id] * 3, "reason": ["b", "a", "b"]}), checks / "quarantine.parquet")
    run(tmp_path / "o", write_documents(tmp_path / "d", [row]), checks)
    assert rejects(tmp_path / "o") == {row.uri: ("a", "quarantined by the checks: a, b")}


def test_checks_of_other_documents_and_missing_checks_are_refused(tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "d", [document("1", "a document")])
    with pytest.raises(InputError, match="1 documents that are not in the input, the first ffff"):
        run(tmp_path / "o", documents, write_checks(tmp_path / "c", {"ffff": "bad"}))
    with pytest.raises(InputError, match=r"quarantine\.parquet"):
        run(tmp_path / "p", documents, tmp_path / "d")


def test_lengths_are_counted_in_characters_after_normalising(tmp_path: Path) -> None:
    texts = ["é" * 10, "e\u0301" * 9, "x" * 9 + "\0", "中" * 20, "中" * 21]
    rows = [document(str(n), text) for n, text in enumerate(texts)]
    run(tmp_path / "o", write_documents(tmp_path / "d", rows), write_checks(tmp_path / "c"), max_characters=20)
    assert sorted(row["uri"] for row in corpus(tmp_path / "o")) == ["notes/0", "notes/3"]
    assert rejects(tmp_path / "o") == {
        "notes/1": ("too_short", "9 characters, at least 10"),
        "notes/2": ("too_short", "9 characters, at least 10"),
        "notes/4": ("too_long", "21 characters, at most 20"),
    }


def test_a_corpus_without_documents_goes_through(tmp_path: Path) -> None:
    report = run(tmp_path / "o", write_documents(tmp_path / "d", []), write_checks(tmp_path / "c"))
    assert {"train_documents", "validation_documents", "test_documents", "text_bytes"} <= set(report.metrics)
    assert set(report.metrics.values()) == {0}
    assert list(list_files(tmp_path / "o")) == ["documents-00000.parquet", "page.html", "rejects.parquet"]


def test_the_page_counts_by_rule_and_source_and_shows_the_dropped_as_text(tmp_path: Path) -> None:
    hostile = '<script>alert(1)</script> =HYPERLINK("x")'
    rows = [document("0", "too short"), document("1", hostile), document("2", "kept as it is")]
    run(tmp_path / "o", write_documents(tmp_path / "d", rows), write_checks(tmp_path / "c"), max_characters=20)
    page = (tmp_path / "o" / "page.html").read_text()
    assert "1 of 3 documents are kept" in page
    assert '<td>too_long</td><td class="number">1</td><td>33.3 %</td>' in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_splits_have_their_shares_and_depend_on_seed_and_text_alone() -> None:
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(20_000)]
    splits = assign_splits(digests, seed=1, validation_share=0.1, test_share=0.2)
    assert abs(splits.count("validation") / 20_000 - 0.1) < 0.01
    assert abs(splits.count("test") / 20_000 - 0.2) < 0.01
    assert assign_splits(digests[5:6], seed=1, validation_share=0.1, test_share=0.2) == splits[5:6]
    assert assign_splits(digests, seed=2, validation_share=0.1, test_share=0.2) != splits
    assert set(assign_splits(digests, seed=1, validation_share=0.0, test_share=0.0)) == {"train"}


def test_a_larger_test_share_takes_no_document_out_of_test() -> None:
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(1000)]
    small, large = (assign_splits(digests, seed=1, validation_share=0.1, test_share=s) for s in (0.1, 0.3))
    assert all(after == "test" for before, after in zip(small, large, strict=True) if before == "test")


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for name in ("a", "b"):
        run(tmp_path / name, **world)
    names = list(list_files(tmp_path / "a"))
    assert names == list(list_files(tmp_path / "b"))
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_characters": 10, "max_characters": 9}, "above max_characters"),
        ({"validation_share": 0.5, "test_share": 0.5}, "nothing would be left for training"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": 1.5}, "integer"),
    ],
)
def test_values_that_contradict_each_other_are_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse({**CONFIG, **values}, PreprocessConfig, "test")
