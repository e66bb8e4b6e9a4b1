"""Documents and rejects as every room meets them: Parquet with one schema, written and read by row groups.

In: rows or tables in a fixed order. Out: ``documents-00000.parquet``, ``documents-00001.parquet``, … and
``rejects.parquet``. In between: the bytes depend on the rows and their order alone, never on how they were handed
over; a row group ends after 10,000 rows or 64 MiB of text, so memory is bounded on both sides; there is always
at least one file, so an empty corpus is a table without rows and not an absence.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.errors import InputError

ROW_GROUP_ROWS, ROW_GROUP_BYTES = 10_000, 64 << 20
REJECT_TEXT_CHARACTERS = 20_000
REJECTS = "rejects.parquet"
_SHARDS = "documents-{:05d}.parquet"
# Columns of few distinct values; a dictionary of whole texts would only cost memory.
_DICTIONARY_COLUMNS = ["source", "licence", "language", "split", "reason"]

DOCUMENTS = pa.schema([
    pa.field("doc_id", pa.string(), nullable=False),
    pa.field("text", pa.large_string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("licence", pa.string(), nullable=False),
    pa.field("language", pa.string()),
    pa.field("meta", pa.string(), nullable=False),
])  # fmt: skip
CORPUS = DOCUMENTS.append(pa.field("split", pa.string(), nullable=False))
REJECTS_SCHEMA = pa.schema([
    pa.field("doc_id", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("detail", pa.string(), nullable=False),
    pa.field("text", pa.large_string(), nullable=False),
])  # fmt: skip


class Document(NamedTuple):
    """One row of a documents file; ``meta`` is the JSON that ``meta_json`` writes."""

    doc_id: str
    text: str
    source: str
    uri: str
    licence: str
    language: str | None
    meta: str


class Reject(NamedTuple):
    """One row of a rejects file: what was dropped, the short name of why, and the value and limit as text."""

    doc_id: str
    source: str
    uri: str
    reason: str
    detail: str
    text: str


def document_id(source: str, position: str) -> str:
    """The identity of a document, 32 hexadecimal characters: equal source and position, equal identity."""
    return hashlib.sha256(f"{source}\0{position}".encode()).hexdigest()[:32]


def meta_json(values: Mapping[str, Any]) -> str:
    """``values`` as one line of JSON with sorted keys; equal values give equal text."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class RowGroup(NamedTuple):
    """The unit of work: one row group of a shard."""

    shard: Path
    number: int
    num_rows: int

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Its documents with all columns or those named. Raises InputError for a damaged shard or a missing column."""
        with _open(self.shard) as file:
            wanted = list(columns) if columns is not None else file.schema_arrow.names
            if missing := [name for name in wanted if name not in file.schema_arrow.names]:
                raise _refuse(self.shard, f"no column {missing[0]}")
            return file.read_row_group(self.number, columns=wanted)


class TableWriter:
    """Writes rows into numbered files of at most ``file_rows`` rows each; use it in a ``with`` block.

    ``name`` is a file name with one place for the number, or with none when all rows go into one file.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema, file_rows: int | None = None) -> None:
        self._folder, self._name, self._schema, self._file_rows = folder, name, schema, file_rows
        self._num_files, self._left = 0, 0
        self._file: pq.ParquetWriter | None = None
        self._rows: list[Sequence[Any]] = []
        self._rows_characters = 0
        self._waiting: pa.Table = schema.empty_table()

    def add(self, row: Sequence[Any]) -> None:
        """Write one row, its values in the order of the schema."""
        self._rows.append(row)
        self._rows_characters += len(row[self._schema.get_field_index("text")])
        if len(self._rows) >= ROW_GROUP_ROWS or self._rows_characters >= ROW_GROUP_BYTES // 4:
            self._take_rows()

    def write(self, table: pa.Table) -> None:
        """Write all rows of a table, which must have the columns of the schema."""
        self._take_rows()
        self._enqueue(table.select(self._schema.names).cast(self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if kind is None:
            self._take_rows()
            self._write_groups(is_last=True)
            if self._num_files == 0:
                self._open_file()
        self._close_file()

    def _take_rows(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(c, type=f.type) for c, f in zip(columns, self._schema, strict=True)]
            self._rows, self._rows_characters = [], 0
            self._enqueue(pa.Table.from_arrays(arrays, schema=self._schema))

    def _enqueue(self, table: pa.Table) -> None:
        self._waiting = pa.concat_tables([self._waiting, table])
        self._write_groups(is_last=False)

    def _write_groups(self, *, is_last: bool) -> None:
        while rows := _rows_of_group(self._waiting, self._left or self._file_rows, is_last=is_last):
            self._write_group(self._waiting.slice(0, rows))
            self._waiting = self._waiting.slice(rows)

    def _write_group(self, group: pa.Table) -> None:
        file = self._file or self._open_file()
        file.write_table(group.combine_chunks(), row_group_size=max(1, group.num_rows))
        if self._file_rows is not None:
            self._left -= group.num_rows
            if self._left == 0:
                self._close_file()

    def _open_file(self) -> pq.ParquetWriter:
        path = self._folder / self._name.format(self._num_files)
        columns = [name for name in _DICTIONARY_COLUMNS if name in self._schema.names]
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=columns)
        self._num_files, self._left = self._num_files + 1, self._file_rows or 0
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class DocumentWriter(TableWriter):
    """Writes document shards of ``shard_documents`` documents into ``folder``."""

    def __init__(self, folder: Path, shard_documents: int, schema: pa.Schema = DOCUMENTS) -> None:
        super().__init__(folder, _SHARDS, schema, shard_documents)


class RejectsWriter(TableWriter):
    """Writes ``rejects.parquet`` into ``folder`` and counts the rejects by reason.

    Texts over 20,000 characters are cut, with a note at their end; the whole text is still in the stage's input.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, REJECTS, REJECTS_SCHEMA)
        self._counts: Counter[str] = Counter()

    @property
    def dropped(self) -> dict[str, int]:
        """How many rows were written for each reason, in the order of the reasons."""
        return dict(sorted(self._counts.items()))

    def add(self, row: Sequence[Any]) -> None:
        """Write one Reject."""
        reject = Reject(*row)
        self._counts[reject.reason] += 1
        super().add(reject._replace(text=_cut(reject.text)))

    def write(self, table: pa.Table) -> None:
        """Write all rows of a table with the columns of a Reject."""
        self._counts.update(table["reason"].to_pylist())
        if table.num_rows and pc.max(pc.utf8_length(table["text"])).as_py() > REJECT_TEXT_CHARACTERS:
            cut = pa.array(map(_cut, table["text"].to_pylist()), pa.large_string())
            table = table.set_column(table.schema.get_field_index("text"), "text", cut)
        super().write(table)


def list_shards(folder: Path) -> list[Path]:
    """The document shards of an artifact in order. Raises InputError when there is none."""
    shards = sorted(folder.glob("documents-*.parquet"))
    if not shards:
        fix = "run the stage that makes it: `pedigree run`"
        raise InputError(str(folder), found="no documents-*.parquet", expected="at least one shard", fix=fix)
    return shards


def count_documents(folder: Path) -> int:
    """How many documents the shards of ``folder`` hold, read from their footers. Raises InputError."""
    total = 0
    for shard in list_shards(folder):
        with _open(shard) as file:
            total += file.metadata.num_rows
    return total


def list_row_groups(folder: Path) -> list[RowGroup]:
    """The row groups of ``folder`` in order, read from the footers of its shards. Raises InputError."""
    groups = []
    for shard in list_shards(folder):
        with _open(shard) as file:
            rows = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        groups += [RowGroup(shard, number, num_rows) for number, num_rows in enumerate(rows)]
    return groups


def read_row_groups(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The documents of ``folder`` in order, one table per row group, with all columns or those named.

    Raises InputError naming the shard that is damaged or lacks a column.
    """
    yield from (group.read(columns) for group in list_row_groups(folder))


def _open(shard: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(shard)
    except (pa.ArrowInvalid, OSError) as error:
        raise _refuse(shard, str(error)) from None


def _refuse(shard: Path, found: str) -> InputError:
    fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
    return InputError(str(shard), found=found, expected=f"Parquet with {', '.join(DOCUMENTS.names)}", fix=fix)


def _rows_of_group(table: pa.Table, most: int | None, *, is_last: bool) -> int:
    """How many of the first rows make a row group; 0 while more rows could still join it."""
    rows = min(ROW_GROUP_ROWS, most or ROW_GROUP_ROWS)
    sizes = pc.binary_length(table.column("text").slice(0, rows)).to_numpy()
    full = int(np.searchsorted(np.cumsum(sizes, dtype=np.int64), ROW_GROUP_BYTES)) + 1
    rows = min(rows, full)
    return rows if rows <= table.num_rows else table.num_rows * is_last


def _cut(text: str) -> str:
    """``text`` itself, or its first 20,000 characters and a note of how long it was."""
    if len(text) <= REJECT_TEXT_CHARACTERS:
        return text
    return f"{text[:REJECT_TEXT_CHARACTERS]}… [cut here: {len(text):,} characters in all]"
