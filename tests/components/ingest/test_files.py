"""Local files in every format and compression, whole and damaged: each text is an item, none is lost."""

import bz2
import gzip
import io
import lzma
import os
import random
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from components.ingest import FilesSource, formats
from components.ingest.formats import open_plain
from components.ingest.items import Item, examine
from components.ingest.limits import Limits
from components.ingest.readers import read_file
from tests.worlds import ROOT

LIMITS = Limits(max_document_bytes=1000, max_expanded_bytes=100_000)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress,
}  # fmt: skip
JSONL = b'{"text": "one"}\n{"text": "zw\xc3\xb6lf"}\n{"id": 3, "text": "three"}'


def read(path: Path, separator: str | None = None, limits: Limits = LIMITS) -> list[Item]:
    source = FilesSource(kind="files", name="s", paths=("*",), licence="CC0-1.0", separator=separator)
    return [examine(item, limits.max_document_bytes) for item in read_file(path, path.name, source, limits)]


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


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
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


def test_of_a_damaged_bzip2_file_only_blocks_that_their_checksums_vouch_for_are_kept(tmp_path: Path) -> None:
    lines = [b'{"text": "line %d %s"}\n' % (number, random.randbytes(500).hex().encode()) for number in range(2000)]
    whole = bz2.compress(b"".join(lines))
    flipped = bytearray(whole)
    flipped[len(flipped) * 3 // 4] ^= 1
    for damaged in (whole[: len(whole) // 2], whole[:-1], bytes(flipped), whole + b"garbage"):
        (tmp_path / "a.jsonl.bz2").write_bytes(damaged)
        *kept, last = read(tmp_path / "a.jsonl.bz2", limits=Limits(10_000, 10_000_000))
        assert last.reason in ("unreadable", "not_json")
        assert [item.text.encode() for item in kept] == [line[10:-3] for line in lines[: len(kept)]]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_file_that_expands_without_end_stops_at_its_limit(tmp_path: Path, suffix: str) -> None:
    (item,) = read_bytes(tmp_path, "a.txt" + suffix, COMPRESS[suffix](b"\0" * 10_000_000))
    assert item.reason == "too_large"
    assert item.detail.endswith("expands to more than 100,000 bytes")


def test_several_compressed_parts_in_a_row_are_one_file(tmp_path: Path) -> None:
    for suffix in (".gz", ".bz2", ".xz", ".zst"):
        path = tmp_path / ("a.txt" + suffix)
        path.write_bytes(COMPRESS[suffix](b"one ") + COMPRESS[suffix](b"two"))
        with path.open("rb") as file:
            assert open_plain(file, path.name, 100).read() == b"one two"


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", "empty", "nothing in the file"),
        (b" \n\t", "empty", "3 characters, all of them blank"),
        (b"\x89PNG\r\n\x1a\n\0", "binary", "zero byte at offset 8"),
        ("Grüße".encode("latin-1"), "wrong_encoding", "byte 0xfc at offset 2 is no UTF-8"),
        (b"\xff\xfe\x00\xd8x\0", "wrong_encoding", "after 0 documents: byte 0x00 at offset 2 is no UTF-16-LE"),
        ("h\0i".encode("utf-16"), "binary", "zero byte at offset 1"),
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_any_unicode_encoding_with_its_mark_is_read(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (item,) = read_bytes(tmp_path, "a.md", (mark + "# Grüße 柏林 😀").encode(encoding))
    assert (item.text, item.reason) == ("# Grüße 柏林 😀", "")
    lines = read_bytes(tmp_path, "a.jsonl", (mark + '{"text": "Grüße"}\n{"text": "柏林"}').encode(encoding))
    assert [line.text for line in lines] == ["Grüße", "柏林"]


def test_json_that_is_doubtful_is_told(tmp_path: Path) -> None:
    lines = [
        b'{"text": "a", "score": NaN}', b'{"text": "a", "text": "b"}', b'{"a": ' * 100_000,
        b'{"text": "a", "n": ' + b"9" * 900 + b"}", b'{"text": "kept", "n": 1e999, "other": {"text": 5}}',
    ]  # fmt: skip
    reader = Limits(max_document_bytes=1_000_000, max_expanded_bytes=1_000_000)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    source = FilesSource(kind="files", name="s", paths=("*",), licence="CC0-1.0")
    items = list(read_file(tmp_path / "a.jsonl", "a.jsonl", source, reader))
    assert [item.reason for item in items] == ["not_json", "not_json", "not_json", "", ""]
    assert items[1].detail == "two fields 'text' in one object"


def test_a_table_of_comma_separated_values_is_read_row_by_row(tmp_path: Path) -> None:
    rows = [b"id,text", b'1,"a ""quoted"" one\nover two lines"', b"2,caf\xe9", b"3,zero\0", b"4,too,many", b"5,good"]
    items = read_bytes(tmp_path, "a.csv", b"\r\n".join(rows))
    assert [item.reason for item in items] == ["", "wrong_encoding", "binary", "not_csv", ""]
    assert items[0].text == 'a "quoted" one\nover two lines'
    for data, reason in {b"": "no_text", b"id,body\n1,x\n": "no_text", b"id,text\n": "empty"}.items():
        assert [item.reason for item in read_bytes(tmp_path, "a.csv", data)] == [reason]
    assert [item.reason for item in read_bytes(tmp_path, "a.csv", b"text\n" + b"x" * 5000)] == ["too_large"]


def tar(*members: tuple[str, bytes, bytes], mode: str = "w") -> bytes:
    """An archive of (name, content, kind) members."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd" if kind != tarfile.REGTYPE else ""
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def make_zip(*members: tuple[str, bytes, int]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, kind in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = kind << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return target.getvalue()


REGULAR = tarfile.REGTYPE


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_the_members_of_a_tar_are_read_as_files_are(tmp_path: Path, mode: str) -> None:
    data = tar(("d", b"", tarfile.DIRTYPE), ("d/a.txt", b"one", REGULAR), ("b.jsonl.gz", gzip.compress(JSONL), REGULAR),
               ("c.parquet", parquet(tmp_path, text=["row"]), REGULAR), mode=mode)  # fmt: skip
    items = read_bytes(tmp_path, "x.tar" + mode[1:].replace(":", "."), data)
    assert [(item.position.partition("/")[2], item.text) for item in items] == [
        ("d/a.txt", "one"), ("b.jsonl.gz#1", "one"), ("b.jsonl.gz#2", "zwölf"), ("b.jsonl.gz#3", "three"),
        ("c.parquet#1", "row"),
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_name_of_an_archive_leads_anywhere(tmp_path: Path) -> None:
    names = [
        "../up.txt",
        "a/../../up.txt",
        "/abs.txt",
        "C:\\x.txt",
        "\\\\host\\x.txt",
        "good.txt",
        "good.txt",
        "a\nb.txt",
    ]
    faults = [1, 1, 1, 1, 1, 0, 1, 1]
    for name, data in {
        "x.tar": tar(*((name, b"text", REGULAR) for name in names)),
        "x.zip": make_zip(*((name, b"text", stat.S_IFREG) for name in names)),
    }.items():
        items = read_bytes(tmp_path, name, data)
        assert [int(item.reason == "unsafe_member") for item in items] == faults
        assert len({item.position for item in items}) == len(items)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tar", "x.zip"]


def test_links_devices_nested_archives_and_unknown_formats_are_told(tmp_path: Path) -> None:
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
    inner = make_zip(("a.txt", b"x", stat.S_IFREG))
    members = [*((f"{number}.txt", b"", kind) for number, kind in enumerate(kinds)), ("n.zip", inner, REGULAR)]
    items = read_bytes(tmp_path, "x.tar", tar(*members, ("p.png", b"x", REGULAR)))
    assert [item.reason for item in items] == ["unsafe_member"] * 4 + ["nested_archive", "not_text"]
    items = read_bytes(
        tmp_path, "x.zip", make_zip(("l.txt", b"/etc/passwd", stat.S_IFLNK), ("n.tar.gz", b"", stat.S_IFREG))
    )
    assert [item.reason for item in items] == ["unsafe_member", "nested_archive"]


def test_a_bomb_inside_a_nested_archive_is_not_expanded(tmp_path: Path) -> None:
    bomb = make_zip(("zeros.txt", b"\0" * 50_000_000, stat.S_IFREG))
    layers = [("inner.zip", bomb * 20, stat.S_IFREG), ("big.iso", b"\0" * 50_000_000, stat.S_IFREG)]
    items = read_bytes(tmp_path, "x.zip", make_zip(*layers, ("good.txt", b"text", stat.S_IFREG)))
    assert [item.reason for item in items] == ["nested_archive", "not_text", ""]
    assert items[-1].text == "text"


def test_a_bomb_in_an_archive_stops_at_its_limit(tmp_path: Path) -> None:
    bombs = [(f"{number}.txt", b"x" * 900, stat.S_IFREG) for number in range(200)]
    *kept, last = read_bytes(tmp_path, "x.zip", make_zip(*bombs))
    assert len(kept) == 111
    assert last.reason == "too_large"
    (item,) = read_bytes(tmp_path, "x.tar.gz", gzip.compress(tar(("a.txt", b"\0" * 10_000_000, REGULAR))))
    assert item.reason == "too_large"


def test_a_damaged_archive_is_told_and_never_taken_for_a_shorter_one(tmp_path: Path) -> None:
    data = bytearray(tar(*((f"{number}.txt", b"text", REGULAR) for number in range(20))))
    data[1024 * 10 + 3] ^= 0xFF  # the name in the eleventh header: its checksum no longer fits
    *kept, last = read_bytes(tmp_path, "x.tar", bytes(data))
    assert ([item.text for item in kept], last.reason) == (["text"] * 10, "unreadable")
    archive = bytearray(make_zip(("a.txt", b"text", stat.S_IFREG), ("b.txt", b"more", stat.S_IFREG)))
    archive[35] ^= 0xFF
    items = read_bytes(tmp_path, "x.zip", bytes(archive))
    assert "unreadable" in {item.reason for item in items}
    for name, damaged in {"y.zip": bytes(archive[:50]), "y.tar": b"no archive at all", "z.zip": b""}.items():
        assert [item.reason for item in read_bytes(tmp_path, name, damaged)] == ["unreadable"]


MEASURE = """
import resource, sys
from pathlib import Path
from components.ingest.config import FilesSource
from components.ingest.limits import Limits
from components.ingest.readers import read_file
source = FilesSource(kind="files", name="s", paths=("*",), licence="x")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
items = list(read_file(Path(sys.argv[1]), Path(sys.argv[1]).name, source, Limits(1 << 20, 1 << 34)))
print([item.reason for item in items], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["line.jsonl", "line.csv", "line.txt", "page.html", "page.xml", "page.warc"])
def test_a_line_of_a_gigabyte_costs_little_memory(tmp_path: Path, name: str) -> None:
    heads = {
        "page.xml": b"<mediawiki><page>",
        "page.warc": b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 1073741824\r\n\r\n",
        "line.csv": b'text\n"',
    }
    with (tmp_path / name).open("wb") as file:
        file.write(heads.get(name, b""))
        file.seek((1 << 30) - 1)
        file.write(b"x")
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path / name)], capture_output=True, text=True,
                          check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    reasons, megabytes = done.stdout.rsplit(maxsplit=1)
    assert reasons != "['']"
    assert int(megabytes) < 100
