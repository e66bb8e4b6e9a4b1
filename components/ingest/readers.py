"""Texts out of local files.

In: a pinned file. Out: its documents in order, one item each. In between: no more than one document, one Parquet
batch and a few buffers are in memory; whatever cannot be read is an item with a reason; of a damaged compressed
file nothing is kept.
"""

from __future__ import annotations

import codecs
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.config import FilesSource
from components.ingest.formats import DAMAGE, find_damage, open_plain, raise_if_of_machine, split_suffixes
from components.ingest.items import Item

_BATCH_ROWS = 256
_SHOWN_BYTES = 20_000
_WIDE_MARKS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16",
               codecs.BOM_UTF16_BE: "UTF-16"}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What one document and one compressed file may take."""

    max_document_bytes: int
    max_expanded_bytes: int


def read_file(path: Path, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The documents of the file at ``path``, which its documents know as ``name``.

    Positions are ``name#3`` for the third line, row or piece, and ``name`` for a whole file or a fault of all of it.
    """
    read = _READERS[split_suffixes(name)[0]]
    if damage := find_damage(path, limits.max_expanded_bytes):
        yield Item(name, "", reason=damage[0], detail=damage[1])
        return
    number = 0
    try:
        with open_plain(path, limits.max_expanded_bytes) as stream:
            for item in read(stream, name, source, limits):
                number += 1
                yield item
    except (*DAMAGE, pa.ArrowException) as error:
        raise_if_of_machine(error)
        yield Item(name, "", reason="unreadable", detail=f"after {number} documents: {' '.join(str(error).split())}")
        return
    if number == 0:
        yield Item(name, "", reason="empty", detail="nothing in the file")


def _read_txt(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    if source.separator is not None:
        yield from _read_pieces(stream, name, source.separator.encode(), limits)
    elif data := stream.read(limits.max_document_bytes + 1):
        yield _decode(name, data, limits)


def _read_pieces(stream: BinaryIO, name: str, separator: bytes, limits: Limits) -> Iterator[Item]:
    """The documents between lines that hold only ``separator``."""
    number, piece = 1, b""
    for line in _lines(stream, limits.max_document_bytes):
        if line.strip() == separator:
            yield _decode(f"{name}#{number}", piece, limits)
            number, piece = number + 1, b""
        elif len(piece) <= limits.max_document_bytes:
            piece += line
    if piece.strip():
        yield _decode(f"{name}#{number}", piece, limits)


def _read_jsonl(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    for number, line in enumerate(_lines(stream, limits.max_document_bytes), start=1):
        item = _decode(f"{name}#{number}", line, limits)
        yield item if item.reason or not item.text.strip() else _parse_line(item, source.text_field)


def _parse_line(item: Item, field: str) -> Item:
    try:
        value = json.loads(item.text)
    except (ValueError, RecursionError) as error:
        return Item(item.position, item.text, reason="not_json", detail=str(error))
    if not isinstance(value, dict) or not isinstance(value.get(field), str):
        return Item(item.position, item.text, reason="no_text", detail=f"no field {field!r} that holds a text")
    return Item(item.position, value[field])


def _read_parquet(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    with tempfile.TemporaryFile() as seekable:
        if split_suffixes(name)[1]:
            shutil.copyfileobj(stream, seekable)
            stream = seekable
        file = pq.ParquetFile(stream)
        if problem := _column_problem(file, source.text_field, limits):
            yield Item(name, "", reason=problem[0], detail=problem[1])
            return
        rows = (v for b in file.iter_batches(_BATCH_ROWS, columns=[source.text_field]) for v in b.column(0))
        for number, value in enumerate(rows, start=1):
            yield _row(f"{name}#{number}", value, source.text_field)


def _row(position: str, value: pa.Scalar, column: str) -> Item:
    try:
        text = value.as_py()
    except UnicodeDecodeError as error:
        return Item(position, _show(error.object), reason="wrong_encoding", detail=_bad_byte(error))
    if text is None:
        return Item(position, "", reason="no_text", detail=f"null in column {column!r}")
    return Item(position, text)


def _column_problem(file: pq.ParquetFile, column: str, limits: Limits) -> tuple[str, str] | None:
    """Why the text column cannot be read, as (reason, detail)."""
    schema = file.schema_arrow
    if column not in schema.names:
        return "no_text", f"no column {column!r} among {', '.join(schema.names)}"
    kind = schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return "no_text", f"column {column!r} holds {kind} and no text"
    metadata = file.metadata
    index = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path == column)
    sizes = (metadata.row_group(g).column(index).total_uncompressed_size for g in range(metadata.num_row_groups))
    if (most := max(sizes, default=0)) > limits.max_expanded_bytes:
        return "too_large", f"a row group of {most:,} bytes, at most {limits.max_expanded_bytes:,}"
    return None


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """The lines of a stream with their ends; of one that is too long only its first ``max_bytes + 1`` bytes."""
    while line := stream.readline(max_bytes + 1):
        yield line
        while len(line) > max_bytes and not line.endswith(b"\n"):
            line = stream.readline(max_bytes + 1)


def _decode(position: str, data: bytes, limits: Limits) -> Item:
    """``data`` as text, or an item that says why it is none."""
    if len(data) > limits.max_document_bytes:
        detail = f"more than {limits.max_document_bytes:,} bytes"
        return Item(position, _show(data), reason="too_large", detail=detail)
    if mark := next((name for mark, name in _WIDE_MARKS.items() if data.startswith(mark)), None):
        return Item(position, _show(data), reason="wrong_encoding", detail=f"{mark}, expected UTF-8")
    if b"\0" in data:
        return Item(position, _show(data), reason="binary", detail=f"zero byte at offset {data.index(0):,}")
    try:
        return Item(position, data.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        return Item(position, _show(data), reason="wrong_encoding", detail=_bad_byte(error))


def _bad_byte(error: UnicodeDecodeError) -> str:
    return f"byte 0x{error.object[error.start]:02x} at offset {error.start:,} is no UTF-8"


def _show(data: bytes) -> str:
    return data[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")


_READERS: dict[str, Callable[[BinaryIO, str, FilesSource, Limits], Iterator[Item]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
