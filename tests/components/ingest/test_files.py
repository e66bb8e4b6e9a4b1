"""Local files in every format and compression, whole and damaged: each text is an item, none is lost."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from components.ingest import FilesSource, formats
from components.ingest.formats import open_plain
from components.ingest.items import Item, examine
from components.ingest.readers import Limits, read_file

LIMITS = Limits(max_document_bytes=1000, max_expanded_bytes=100_000)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress,
}  # fmt: skip
JSONL = b'{"text": "one"}\n{"text": "zw\xc3\xb6lf"}\n{"id": 3, "text": "three"}'


def read(path: Path, separator: str | None = None, field: str = "text") -> list[Item]:
    source = FilesSource(kind="files", name="s", paths=("*",), licence="CC0-1.0", separator=separator, text_field=field)
    return [examine(item, LIMITS.max_document_bytes) for item in read_file(path, path.name, source, LIMITS)]


def read_bytes(folder: Path, name: str, data: bytes, separator: str | None = None) -> list[Item]:
    (folder / name).write_bytes(data)
    return read(folder / name, separator)


def parquet(folder: Path, **columns: object) -> bytes:
    pq.write_table(pa.table(columns), folder / "scratch")
    return (folder / "scratch").read_bytes()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_every_format_reads_the_same_through_every_compression(tmp_path: Path, suffix: str) -> None:
    files = {
        "a.txt": (b"\xef\xbb\xbfone\ntwo", ["one\ntwo"]),
        "b.jsonl": (JSONL, ["one", "zwölf", "three"]),
        "c.parquet": (parquet(tmp_path, text=["one", "two"]), ["one", "two"]),
    }
    for name, (data, texts) in files.items():
        items = read_bytes(tmp_path, name + suffix, COMPRESS[suffix](data))
        assert [item.text for item in items] == texts
        assert not any(item.reason for item in items)
        assert len({item.position for item in items}) == len(items)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_damaged_compressed_file_is_one_reject_and_none_of_its_text_is_kept(tmp_path: Path, suffix: str) -> None:
    data = b"".join(b'{"text": "line %d"}\n' % number for number in range(2000))
    whole = COMPRESS[suffix](data)
    flipped = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(data) if suffix == ".zst" else whole)
    flipped[len(flipped) // 2] ^= 1
    for damaged in (whole[: len(whole) // 2], whole[:-1], bytes(flipped), whole + b"garbage"):
        items = read_bytes(tmp_path, "a.jsonl" + suffix, damaged)
        if len(items) == 2000:  # some formats say that what follows their end is not theirs
            assert damaged.endswith(b"garbage")
            continue
        assert [(item.position, item.reason) for item in items] == [("a.jsonl" + suffix, "unreadable")]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_file_that_expands_without_end_stops_at_its_limit(tmp_path: Path, suffix: str) -> None:
    (item,) = read_bytes(tmp_path, "a.txt" + suffix, COMPRESS[suffix](b"\0" * 10_000_000))
    assert (item.reason, item.detail) == ("too_large", "expands to more than 100,000 bytes")


def test_several_compressed_parts_in_a_row_are_one_file(tmp_path: Path) -> None:
    for suffix in (".gz", ".bz2", ".xz", ".zst"):
        path = tmp_path / ("a.txt" + suffix)
        path.write_bytes(COMPRESS[suffix](b"one ") + COMPRESS[suffix](b"two"))
        with open_plain(path, 100) as stream:
            assert stream.read() == b"one two"


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", "empty", "nothing in the file"),
        (b" \n\t", "empty", "3 characters, all of them blank"),
        (b"\x89PNG\r\n\x1a\n\0", "binary", "zero byte at offset 8"),
        ("Grüße".encode("latin-1"), "wrong_encoding", "byte 0xfc at offset 2 is no UTF-8"),
        ("hello".encode("utf-16"), "wrong_encoding", "UTF-16, expected UTF-8"),
        ("hello".encode("utf-32"), "wrong_encoding", "UTF-32, expected UTF-8"),
        (b"x" * 1001, "too_large", "more than 1,000 bytes"),
    ],
)
def test_a_text_file_that_is_no_text_says_why(tmp_path: Path, data: bytes, reason: str, detail: str) -> None:
    (item,) = read_bytes(tmp_path, "a.txt", data)
    assert (item.position, item.reason, item.detail) == ("a.txt", reason, detail)


def test_a_separator_cuts_a_text_file_into_documents(tmp_path: Path) -> None:
    data = b"one\nmore\n<|end|>\ntwo\n<|end|>\n" + b"y\n" * 600 + b"<|end|>\n\n"
    items = read_bytes(tmp_path, "a.txt", data, separator="<|end|>")
    assert [(item.position, item.text) for item in items[:2]] == [("a.txt#1", "one\nmore\n"), ("a.txt#2", "two\n")]
    assert [item.reason for item in items] == ["", "", "too_large"]


def test_faulty_lines_are_told_one_by_one_and_the_others_are_kept(tmp_path: Path) -> None:
    lines = [
        b'{"text": "good"}', b"", b"not json", b"[1]", b'{"text": 5}', b'{"other": "x"}', b'{"text": "\xff"}',
        b'{"text": "\\ud800"}', b'{"text": "' + b"x" * 5000 + b'"}', b'{"text": "  "}', b"[" * 900,
        b'{"text": "last"}',
    ]  # fmt: skip
    items = read_bytes(tmp_path, "a.jsonl", b"\n".join(lines))
    assert [item.position for item in items] == [f"a.jsonl#{number}" for number in range(1, len(lines) + 1)]
    assert [item.reason for item in items] == [
        "", "empty", "not_json", "no_text", "no_text", "no_text", "wrong_encoding",
        "wrong_encoding", "too_large", "empty", "not_json", "",
    ]  # fmt: skip
    assert items[-1].text == "last"


def test_parquet_rows_without_text_and_files_without_the_column_are_told(tmp_path: Path) -> None:
    items = read_bytes(tmp_path, "a.parquet", parquet(tmp_path, text=["one", None, "three"]))
    assert [(item.position, item.reason) for item in items] == [
        ("a.parquet#1", ""), ("a.parquet#2", "no_text"), ("a.parquet#3", ""),
    ]  # fmt: skip
    faults = {
        "no column 'text' among body": parquet(tmp_path, body=["one"]),
        "column 'text' holds int64 and no text": parquet(tmp_path, text=[1, 2]),
        "nothing in the file": parquet(tmp_path, text=pa.array([], pa.string())),
        "a row group of": parquet(tmp_path, text=["x" * 200_000]),
        "after 0 documents": parquet(tmp_path, text=["one"])[:-5],
    }
    for detail, data in faults.items():
        (item,) = read_bytes(tmp_path, "a.parquet", data)
        assert item.detail.startswith(detail)
        assert item.reason


def test_a_parquet_text_that_is_no_utf_8_is_told_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    binary = pa.array([b"good", b"caf\xe9", b"too"])
    data = parquet(tmp_path, text=pa.Array.from_buffers(pa.string(), 3, binary.buffers()))
    items = read_bytes(tmp_path, "a.parquet", data)
    assert [item.reason for item in items] == ["", "wrong_encoding", ""]
    assert items[1].detail == "byte 0xe9 at offset 3 is no UTF-8"


def test_a_full_disk_is_not_taken_for_a_damaged_file() -> None:
    with pytest.raises(OSError, match="No space"):
        formats.raise_if_of_machine(OSError(28, "No space left on device"))
    formats.raise_if_of_machine(OSError("Truncated compressed stream"))
