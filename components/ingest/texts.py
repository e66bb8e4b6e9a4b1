"""Documents out of text files: whole files, pieces, lines of JSON, rows of CSV.

In: a stream of UTF-8. Out: one item for each document. In between: a line of any length costs no more memory than
one document; what is no text says which byte is to blame.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from components.ingest.config import FilesSource
from components.ingest.items import Item
from components.ingest.limits import Limits

_SHOWN_BYTES = 20_000


def read_txt(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The whole file, or the pieces between lines that hold only ``source.separator``."""
    if source.separator is not None:
        yield from _read_pieces(stream, name, source.separator.encode(), limits)
    elif data := stream.read(limits.max_document_bytes + 1):
        yield decode(name, data, limits)


def _read_pieces(stream: BinaryIO, name: str, separator: bytes, limits: Limits) -> Iterator[Item]:
    number, piece = 1, bytearray()
    for line in read_lines(stream, limits.max_document_bytes):
        if line.strip() == separator:
            yield decode(f"{name}#{number}", bytes(piece), limits)
            number, piece = number + 1, bytearray()
        elif len(piece) <= limits.max_document_bytes:
            piece += line
    if piece.strip():
        yield decode(f"{name}#{number}", bytes(piece), limits)


def read_jsonl(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The field ``source.text_field`` of the object on each line (RFC 8259: NaN is no JSON)."""
    for number, line in enumerate(read_lines(stream, limits.max_document_bytes), start=1):
        item = decode(f"{name}#{number}", line, limits)
        yield item if item.reason or not item.text.strip() else _parse_line(item, source.text_field)


def _parse_line(item: Item, field: str) -> Item:
    try:
        value = json.loads(item.text, parse_constant=_refuse_constant)
        if item.text.count(f'"{field}"') > 1:  # else it cannot stand there twice
            value = json.loads(item.text, object_pairs_hook=lambda pairs: _once(pairs, field))
    except (ValueError, RecursionError) as error:
        return Item(item.position, item.text, reason="not_json", detail=str(error))
    if not isinstance(value, dict) or not isinstance(value.get(field), str):
        return Item(item.position, item.text, reason="no_text", detail=f"no field {field!r} that holds a text")
    return Item(item.position, value[field])


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, Any]], field: str) -> dict[str, Any]:
    if sum(name == field for name, _ in pairs) > 1:
        raise ValueError(f"two fields {field!r} in one object")
    return dict(pairs)


def read_csv(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The column ``source.text_field`` of each row (RFC 4180); the first row names the columns."""
    csv.field_size_limit(limits.max_document_bytes)
    # Bytes that are no UTF-8 pass as surrogates, so that one of them spoils its row and not the shape of the table.
    lines = (line.decode(errors="surrogateescape") for line in read_lines(stream, limits.max_document_bytes))
    rows = csv.reader(lines, strict=True)
    header = next(rows, [])
    if source.text_field not in header:
        yield Item(name, "", reason="no_text", detail=f"no column {source.text_field!r} among {', '.join(header)}")
        return
    column, number = header.index(source.text_field), 0
    while (row := _next_row(rows)) is not None:
        number += 1
        yield _csv_item(f"{name}#{number}", row, column, len(header))


def _next_row(rows: Iterator[list[str]]) -> list[str] | csv.Error | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        return error


def _csv_item(position: str, row: list[str] | csv.Error, column: int, width: int) -> Item:
    if isinstance(row, csv.Error):
        return Item(position, "", reason="too_large" if "limit" in str(row) else "not_csv", detail=str(row))
    if len(row) != width:
        shown = ",".join(row)[:_SHOWN_BYTES]
        return Item(position, shown, reason="not_csv", detail=f"{len(row)} fields, expected {width}")
    if "\0" in row[column]:
        return Item(position, row[column], reason="binary", detail=f"zero byte at {row[column].index(chr(0)):,}")
    return Item(position, row[column])


def read_lines(stream: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """The lines of a stream with their ends; of one that is too long only its first ``max_bytes + 1`` bytes."""
    while line := stream.readline(max_bytes + 1):
        yield line
        while len(line) > max_bytes and not line.endswith(b"\n"):
            line = stream.readline(max_bytes + 1)


def decode(position: str, data: bytes, limits: Limits) -> Item:
    """``data`` as text, or an item that says why it is none."""
    if len(data) > limits.max_document_bytes:
        return Item(position, show(data), reason="too_large", detail=f"more than {limits.max_document_bytes:,} bytes")
    if b"\0" in data:
        return Item(position, show(data), reason="binary", detail=f"zero byte at offset {data.index(0):,}")
    try:
        return Item(position, data.decode())
    except UnicodeDecodeError as error:
        return Item(position, show(data), reason="wrong_encoding", detail=bad_byte(error))


def bad_byte(error: UnicodeDecodeError) -> str:
    """Which byte is to blame, in words."""
    return f"byte 0x{error.object[error.start]:02x} at offset {error.start:,} is no {error.encoding.upper()}"


def show(data: bytes) -> str:
    """The beginning of ``data`` as text in any case."""
    return data[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
