"""Records out of the formats in which people keep questions and answers.

In: the pinned files of one source. Out: items whose text is a JSON object, one for each record. In between: columns
keep the names and the values that they have in their file; whatever is no record is an item with a reason.

    jsonl     an object on each line; values of any kind, such as a list of messages
    csv, tsv  a table whose first row names the columns, unless ``columns`` does; every value is a text
    lines     a text on each line, cut at ``delimiter`` into so many columns as are named
    parallel  line n of every file is column by column the record n
    squad     the questions of SQuAD (Rajpurkar et al. 2016): title, context, question, answers
    parquet   a row each
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.documents import meta_json
from components.ingest.config import RecordsSource
from components.ingest.formats import (
    DAMAGE,
    TEXTS,
    as_utf8,
    find_damage,
    open_plain,
    raise_if_of_machine,
    split_suffixes,
)
from components.ingest.items import Item
from components.ingest.limits import Limits
from components.ingest.texts import bad_byte, decode, read_lines

_BATCH_ROWS = 256
_Reader = Callable[[BinaryIO, str, RecordsSource, Limits], Iterator[Item]]


def read_records(files: Sequence[tuple[Path, str]], source: RecordsSource, limits: Limits) -> Iterator[Item]:
    """The records of a source; ``files`` are places and names, in the order of its paths."""
    if source.format == "parallel":
        yield from _guarded(files[0][1], lambda: _read_parallel(files, source, limits))
        return
    for place, name in files:
        with place.open("rb") as file:
            if damage := find_damage(file, name, limits.max_expanded_bytes):
                yield Item(name, "", reason=damage[0], detail=damage[1])
            else:
                stream = _open(file, name, source, limits)
                yield from _guarded(name, lambda: _READERS[source.format](stream, name, source, limits))  # noqa: B023


def _guarded(name: str, read: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """What ``read`` gives, and an item for what ends it too early."""
    try:
        yield from read()
    except UnicodeDecodeError as error:
        yield Item(name, "", reason="wrong_encoding", detail=bad_byte(error))
    except (*DAMAGE, pa.ArrowException, ValueError, KeyError, TypeError, csv.Error) as error:
        raise_if_of_machine(error)
        yield Item(name, "", reason="unreadable", detail=" ".join(f"{type(error).__name__}: {error}".split()))


def _open(file: BinaryIO, name: str, source: RecordsSource, limits: Limits) -> BinaryIO:
    stream = open_plain(file, name, limits.max_expanded_bytes)
    is_text = source.format != "parquet" and split_suffixes(name)[0] not in TEXTS
    return as_utf8(cast(Any, stream)) if is_text else stream


def _read_jsonl(stream: BinaryIO, name: str, _source: RecordsSource, limits: Limits) -> Iterator[Item]:
    for item in _lines(stream, name, limits):
        yield item if item.reason else _object(item)


def _object(item: Item) -> Item:
    try:
        value = json.loads(item.text, parse_constant=_refuse_constant)
        if isinstance(value, dict):
            return Item(item.position, meta_json(value))
    except (ValueError, RecursionError) as error:
        return Item(item.position, item.text, reason="not_json", detail=str(error))
    return Item(item.position, item.text, reason="no_record", detail=f"{type(value).__name__}, not an object")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _read_table(stream: BinaryIO, name: str, source: RecordsSource, limits: Limits) -> Iterator[Item]:
    csv.field_size_limit(limits.max_document_bytes)
    lines = (line.decode() for line in read_lines(stream, limits.max_document_bytes))
    rows = csv.reader(lines, strict=True, delimiter="\t" if source.format == "tsv" else ",")
    header = list(source.columns) or next(rows, [])
    for number, row in enumerate(rows, start=1):
        yield _record(f"{name}#{number}", header, row)


def _read_lines(stream: BinaryIO, name: str, source: RecordsSource, limits: Limits) -> Iterator[Item]:
    for item in _lines(stream, name, limits):
        cut = item.text.split(source.delimiter, len(source.columns) - 1)
        yield item if item.reason else _record(item.position, source.columns, cut)


def _read_parallel(files: Sequence[tuple[Path, str]], source: RecordsSource, limits: Limits) -> Iterator[Item]:
    opened = [place.open("rb") for place, _ in files]
    try:
        streams = [_open(file, name, source, limits) for file, (_, name) in zip(opened, files, strict=True)]
        columns = [read_lines(stream, limits.max_document_bytes) for stream in streams]
        for number, lines in enumerate(zip_longest(*columns), start=1):
            position = f"{files[0][1]}#{number}"
            if None in lines:
                detail = f"line {number} stands in some of the files only"
                yield Item(position, "", reason="not_parallel", detail=detail)
            else:
                yield _record(position, source.columns, [line.decode().strip() for line in lines])
    finally:
        for file in opened:
            file.close()


def _read_squad(stream: BinaryIO, name: str, _source: RecordsSource, _limits: Limits) -> Iterator[Item]:
    articles = json.loads(stream.read())["data"]
    paragraphs = chain.from_iterable(((article, p) for p in article["paragraphs"]) for article in articles)
    for article, paragraph in paragraphs:
        for question in paragraph["qas"]:
            record = {
                "title": article.get("title", ""), "context": paragraph["context"], "question": question["question"],
                "answers": list(dict.fromkeys(answer["text"] for answer in question["answers"])),
            }  # fmt: skip
            yield Item(f"{name}#{question['id']}", meta_json(record))


def _read_parquet(stream: BinaryIO, name: str, _source: RecordsSource, _limits: Limits) -> Iterator[Item]:
    batches = pq.ParquetFile(stream).iter_batches(_BATCH_ROWS)
    rows = chain.from_iterable(batch.to_pylist() for batch in batches)
    for number, row in enumerate(rows, start=1):
        yield Item(f"{name}#{number}", json.dumps(row, sort_keys=True, ensure_ascii=False, default=str))


def _lines(stream: BinaryIO, name: str, limits: Limits) -> Iterator[Item]:
    """The lines that are not blank, without their ends."""
    for number, line in enumerate(read_lines(stream, limits.max_document_bytes), start=1):
        if line.strip():
            yield decode(f"{name}#{number}", line.rstrip(b"\r\n"), limits)


def _record(position: str, columns: Sequence[str], values: Iterable[str]) -> Item:
    found = list(values)
    if len(found) != len(columns):
        detail = f"{len(found)} columns, expected {len(columns)}: {', '.join(columns)}"
        return Item(position, " ".join(found), reason="no_record", detail=detail)
    return Item(position, meta_json(dict(zip(columns, found, strict=True))))


_READERS: dict[str, _Reader] = {
    "jsonl": _read_jsonl,
    "csv": _read_table,
    "tsv": _read_table,
    "lines": _read_lines,
    "squad": _read_squad,
    "parquet": _read_parquet,
}
