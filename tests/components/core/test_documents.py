"""Document shards and rejects: equal rows give equal bytes, whatever way they take."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core import documents
from components.core.documents import (
    DOCUMENTS,
    Document,
    DocumentWriter,
    Reject,
    RejectsWriter,
    count_documents,
    document_id,
    list_shards,
    meta_json,
    read_row_groups,
)
from components.core.errors import InputError
from components.core.files import list_files


def rows(count: int, characters: int = 20) -> list[Document]:
    return [
        Document(document_id("s", str(n)), f"{n} ".ljust(characters, "é"), "s", f"s/{n}", "CC0-1.0", None, "{}")
        for n in range(count)
    ]


def write(folder: Path, found: list[Document], shard_documents: int = 7) -> Path:
    folder.mkdir()
    with DocumentWriter(folder, shard_documents) as writer:
        for row in found:
            writer.add(row)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in list_files(folder)}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", rows(20))
    read = pa.concat_tables(read_row_groups(folder))
    assert [Document(**row) for row in read.to_pylist()] == rows(20)
    assert read.schema == DOCUMENTS
    assert count_documents(folder) == 20
    assert [pq.read_metadata(shard).num_rows for shard in list_shards(folder)] == [7, 7, 6]


def test_rows_and_tables_of_any_size_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROW_GROUP_ROWS", 5)
    expected = content(write(tmp_path / "rows", rows(53), 12))
    table = pa.Table.from_pylist([row._asdict() for row in rows(53)], schema=DOCUMENTS)
    for step in (1, 4, 12, 60):
        folder = tmp_path / f"step {step}"
        folder.mkdir()
        with DocumentWriter(folder, 12) as writer:
            for start in range(0, 53, step):
                writer.write(table.slice(start, step))
        assert content(folder) == expected


def test_a_row_group_ends_at_its_limit_of_rows_or_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROW_GROUP_ROWS", 10)
    monkeypatch.setattr(documents, "ROW_GROUP_BYTES", 1000)
    folder = write(tmp_path / "a", [*rows(23), *rows(5, characters=400)], 100)
    assert [table.num_rows for table in read_row_groups(folder)] == [10, 10, 5, 2, 1]


def test_a_corpus_without_documents_is_a_table_without_rows(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [])
    assert list(list_files(folder)) == ["documents-00000.parquet"]
    assert count_documents(folder) == 0
    assert list(read_row_groups(folder)) == []


def test_only_the_named_columns_are_read(tmp_path: Path) -> None:
    (table,) = read_row_groups(write(tmp_path / "a", rows(3)), ["uri", "doc_id"])
    assert table.column_names == ["uri", "doc_id"]


def test_a_folder_without_shards_a_damaged_shard_and_a_missing_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no documents-\*"):
        list(read_row_groups(tmp_path))
    folder = write(tmp_path / "a", rows(3))
    with pytest.raises(InputError, match="no column split"):
        list(read_row_groups(folder, ["split"]))
    (folder / "documents-00000.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="documents-00000"):
        list(read_row_groups(folder))


def test_rejects_are_counted_by_reason_and_long_texts_are_cut_with_a_note(tmp_path: Path) -> None:
    with RejectsWriter(tmp_path) as rejects:
        for reason, text in (("too_long", "x" * 20_001), ("empty", ""), ("empty", " ")):
            rejects.add(Reject("id", "s", "s/1", reason, "why", text))
    assert rejects.dropped == {"empty": 2, "too_long": 1}
    texts = pq.read_table(tmp_path / "rejects.parquet")["text"].to_pylist()
    assert texts[0] == "x" * 20_000 + "… [cut here: 20,001 characters in all]"
    assert texts[1:] == ["", " "]


def test_equal_positions_of_different_sources_are_different_documents() -> None:
    assert document_id("a", "b") == document_id("a", "b")
    assert len({document_id("a", "b"), document_id("b", "a"), document_id("ab", "")}) == 3
    assert len(document_id("a", "b")) == 32


def test_meta_has_one_spelling() -> None:
    assert meta_json({"b": 1, "a": "é"}) == meta_json({"a": "é", "b": 1}) == '{"a":"é","b":1}'
