"""The flow behind `pedigree batch`: go on with every prompt of a Parquet table, or answer every row, on disk or in S3.

In: a table with a column of prompts, or one whose columns are the fields of an application's request. Out: the same
table with the text, how it ended and what it took, or with the answer, and which version gave it. In between: each row
group is a task; the output appears whole or not at all; the version is checked byte for byte first. Equal tables,
options and versions give equal texts.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from components.core import s3
from components.core.errors import InputError, RegistryError
from components.core.files import write_whole
from components.serve.batch import BatchAnswerer, BatchOptions, BatchWriter
from components.serve.versions import Identity, Opened
from flows.generate import model_name
from flows.serve import RegistrySource

_READABLE, _WRITABLE = "a Parquet table that can be read", "a place where the table can be written"
_LOOK = "look at the address, and at who may read and write there"


class Work(Protocol):
    """What becomes of a row group.

    Attributes:
        result: the column that is empty where nothing could be made of a row.
    """

    result: str

    def check(self, schema: pa.Schema, source: str) -> None:
        """Raises InputError for a table without the columns that are needed."""
        ...

    def columns(self, group: pa.Table, first_row: int) -> dict[str, pa.Array]:
        """The new columns; the first row has the number ``first_row`` in the table."""
        ...

    def close(self) -> None:
        """End the threads."""
        ...


class Continuing:
    """Goes on with the prompts of a column."""

    result = "text"

    def __init__(self, opened: Opened, column: str, options: BatchOptions) -> None:
        self._writer, self._column, self._options = BatchWriter(opened), column, options
        self.close = self._writer.close

    def check(self, schema: pa.Schema, source: str) -> None:
        """The column is there and holds texts."""
        if self._column not in schema.names or not pa.types.is_string(schema.field(self._column).type):
            fix = "name the column of the prompts with --column"
            raise _other_columns(source, schema, f"texts in {self._column!r}", fix)

    def columns(self, group: pa.Table, first_row: int) -> dict[str, pa.Array]:
        """Text, end and tokens."""
        prompts = [prompt or "" for prompt in group.column(self._column).to_pylist()]
        results = self._writer.write(prompts, self._options, first_row)
        return {
            "text": pa.array([result.text for result in results], pa.string()),
            "finish_reason": pa.array([result.reason for result in results], pa.string()),
            "prompt_tokens": pa.array([result.prompt_tokens for result in results], pa.int64()),
            "completion_tokens": pa.array([result.completion_tokens for result in results], pa.int64()),
        }


class Answering:
    """Answers each row as a request of an application."""

    result = "answer"

    def __init__(self, opened: Opened, application: str) -> None:
        self._answerer = BatchAnswerer(opened, application)
        self.close = self._answerer.close

    def check(self, schema: pa.Schema, source: str) -> None:
        """Every field that a request must have is a column."""
        needed = [name for name, field in self._answerer.request.model_fields.items() if field.is_required()]
        if missing := sorted(set(needed) - set(schema.names)):
            fix = "name the columns as the fields of a request are called"
            raise _other_columns(source, schema, f"a column {missing[0]!r}", fix)

    def columns(self, group: pa.Table, first_row: int) -> dict[str, pa.Array]:
        """The answer as JSON, and what was wrong with a row that has none."""
        fields = [name for name in self._answerer.request.model_fields if name in group.column_names]
        answered = self._answerer.answer(group.select(fields).to_pylist())
        return {
            "answer": pa.array([one.answer for one in answered], pa.string()),
            "error": pa.array([one.error for one in answered], pa.string()),
        }


@task(cache_policy=NO_CACHE, persist_result=False)
def write_group(work: Work, table: pa.Table, first_row: int, identity: Identity) -> pa.Table:
    """One row group with its new columns, and who made them."""
    return _widened(work, table, first_row, identity)


def _widened(work: Work, table: pa.Table, first_row: int, identity: Identity) -> pa.Table:
    told = {"model": identity.model, "digest": identity.digest}
    named = {name: pa.array([value] * table.num_rows, pa.string()) for name, value in told.items()}
    for name, column in {**work.columns(table, first_row), **named}.items():
        table = table.append_column(name, column)
    return table


@flow(name="batch", persist_result=False)
def batch(source: str, target: str, which: str, column: str, application: str, options: BatchOptions) -> str:
    """Write ``target``; returns how many rows there are, in words. Raises PedigreeError."""
    versions = RegistrySource(model_name())
    identity = _choose(versions, which, application)
    opened = versions.open(identity)
    work: Work = Answering(opened, application) if application else Continuing(opened, column, options)
    with tempfile.TemporaryDirectory() as scratch, closing(work):
        fetched = _fetched(source, Path(scratch) / "source.parquet")
        with _told(source, _READABLE):
            table = pq.ParquetFile(fetched)
        _check(work, table.schema_arrow, source, identity)
        done, num_rows, num_empty = Path(scratch) / "target.parquet", 0, 0
        sink: pq.ParquetWriter | None = None
        for group in _groups(table, source):
            written = cast("pa.Table", write_group(work, group, num_rows, identity))
            sink = sink or pq.ParquetWriter(done, written.schema)
            sink.write_table(written)
            num_rows, num_empty = num_rows + group.num_rows, num_empty + written.column(work.result).null_count
        if sink is not None:
            sink.close()
            _deliver(done, target)
    return f"{num_rows} rows" + (f", {num_empty} of them without {work.result}" if num_empty else "")


def _check(work: Work, schema: pa.Schema, source: str, identity: Identity) -> None:
    """Raises InputError for a table without the columns that are needed, or in which a name would stand twice."""
    _check_names(schema.names, source)
    work.check(schema, source)
    _check_names(_widened(work, schema.empty_table(), 0, identity).column_names, source)


def _check_names(names: Sequence[str], source: str) -> None:
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        found = f"{names.count(twice[0])} columns {twice[0]!r}, counting what is added to the table"
        raise InputError(source, found=found, expected=f"one column {twice[0]!r}", fix="give the table's another name")


def _groups(table: pq.ParquetFile, source: str) -> Iterator[pa.Table]:
    """Every row group; an empty table is one empty group, so that its columns are there."""
    for number in range(table.num_row_groups):
        with _told(source, _READABLE):
            group = table.read_row_group(number)
        yield group
    if not table.num_row_groups:
        yield table.schema_arrow.empty_table()


def _choose(versions: RegistrySource, which: str, application: str) -> Identity:
    """The version; who names an alias means ``ALIAS-APPLICATION`` in an application, where there is such an alias."""
    known = versions.list()
    for name in [f"{which}-{application}", which] if application else [which]:
        for identity in known:
            if name in identity.aliases or name in {str(identity.number), identity.digest}:
                return identity
    names = ", ".join(identity.model for identity in known) or "none yet"
    raise RegistryError("the model registry", found=f"no version {which!r}", expected=f"one of: {names}",
                        fix="name one of these, or run `pedigree run`")  # fmt: skip


def _other_columns(source: str, schema: pa.Schema, expected: str, fix: str) -> InputError:
    return InputError(source, found=f"the columns {', '.join(schema.names)}", expected=expected, fix=fix)


def _fetched(source: str, scratch: Path) -> Path:
    """The table on this machine's disk."""
    if source.startswith(s3.SCHEME):
        client = s3.open_client(InputError)
        with s3.explained(InputError, source, expected=_READABLE, fix=_LOOK):
            client.download_file(*s3.split_address(source), str(scratch))
        return scratch
    if not Path(source).is_file():
        raise InputError(source, found="no such file", expected="a Parquet table", fix="name one")
    return Path(source)


def _deliver(done: Path, target: str) -> None:
    """Give the finished table its place, whole or not at all."""
    if target.startswith(s3.SCHEME):
        client = s3.open_client(InputError)
        with s3.explained(InputError, target, expected=_WRITABLE, fix=_LOOK):
            client.upload_file(str(done), *s3.split_address(target))
        return
    with _told(target, _WRITABLE):
        write_whole(Path(target), done.read_bytes())


@contextmanager
def _told(address: str, expected: str) -> Iterator[None]:
    """Raises InputError where Parquet or the disk refuses ``address``; a full disk is told further up."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(address, found=" ".join(str(error).split()), expected=expected, fix=_LOOK) from None
