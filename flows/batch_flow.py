"""The flow behind `pedigree batch`: go on with every prompt of a Parquet table, on disk or in S3.

In: a table with a column of prompts. Out: the same table with the text, how it ended, what it took and which version
wrote it. In between: each row group is a task; the output appears whole or not at all; the version is checked byte
for byte first. Equal tables, options and versions give equal texts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from components.core.errors import InputError, RegistryError
from components.serve.batch import BatchOptions, BatchWriter
from components.serve.versions import Identity
from flows.generate import model_name
from flows.serve import RegistrySource


@task(cache_policy=NO_CACHE, persist_result=False)
def write_group(
    writer: BatchWriter, table: pa.Table, column: str, options: BatchOptions, first_row: int, identity: Identity
) -> pa.Table:
    """One row group with its texts."""
    results = writer.write([prompt or "" for prompt in table.column(column).to_pylist()], options, first_row)
    columns: dict[str, list[Any]] = {
        "text": [result.text for result in results],
        "finish_reason": [result.reason for result in results],
        "prompt_tokens": [result.prompt_tokens for result in results],
        "completion_tokens": [result.completion_tokens for result in results],
        "model": [identity.model] * len(results),
        "digest": [identity.digest] * len(results),
    }
    kinds = [pa.string(), pa.string(), pa.int64(), pa.int64(), pa.string(), pa.string()]
    for (name, values), kind in zip(columns.items(), kinds, strict=True):
        table = table.append_column(name, pa.array(values, kind))
    return table


@flow(name="batch", persist_result=False)
def batch(source: str, target: str, which: str, column: str, options: BatchOptions) -> int:
    """Write ``target``; returns the number of rows. Raises PedigreeError."""
    versions = RegistrySource(model_name())
    identity = _choose(versions, which)
    writer = BatchWriter(versions.open(identity))
    with tempfile.TemporaryDirectory() as scratch:
        table = pq.ParquetFile(_fetched(source, Path(scratch) / "source.parquet"))
        _check_column(table.schema_arrow, column, source)
        done, num_rows = Path(scratch) / "target.parquet", 0
        sink: pq.ParquetWriter | None = None
        for group in _groups(table):
            written = cast("pa.Table", write_group(writer, group, column, options, num_rows, identity))
            sink = sink or pq.ParquetWriter(done, written.schema)
            sink.write_table(written)
            num_rows += group.num_rows
        if sink is not None:
            sink.close()
            _deliver(done, target)
    writer.close()
    return num_rows


def _groups(table: pq.ParquetFile) -> Iterator[pa.Table]:
    """Every row group; an empty table is one empty group, so that its columns are there."""
    for number in range(table.num_row_groups):
        yield table.read_row_group(number)
    if not table.num_row_groups:
        yield table.schema_arrow.empty_table()


def _choose(versions: RegistrySource, which: str) -> Identity:
    known = versions.list()
    for identity in known:
        if which in identity.aliases or which == str(identity.number) or identity.digest == which:
            return identity
    names = ", ".join(identity.model for identity in known) or "none yet"
    raise RegistryError("the model registry", found=f"no version {which!r}", expected=f"one of: {names}",
                        fix="name one of these, or run `pedigree run`")  # fmt: skip


def _check_column(schema: pa.Schema, column: str, source: str) -> None:
    if column not in schema.names or not pa.types.is_string(schema.field(column).type):
        raise InputError(source, found=f"the columns {', '.join(schema.names)}", expected=f"texts in {column!r}",
                         fix="name the column of the prompts with --column")  # fmt: skip


def _fetched(source: str, scratch: Path) -> Path:
    """The table on this machine's disk."""
    if not source.startswith("s3://"):
        if not Path(source).is_file():
            raise InputError(source, found="no such file", expected="a Parquet table", fix="name one")
        return Path(source)
    address = urlsplit(source)
    _s3().download_file(address.netloc, address.path.lstrip("/"), str(scratch))
    return scratch


def _deliver(done: Path, target: str) -> None:
    """Give the finished table its place, whole or not at all."""
    if target.startswith("s3://"):
        address = urlsplit(target)
        _s3().upload_file(str(done), address.netloc, address.path.lstrip("/"))
        return
    from components.core.files import write_whole

    write_whole(Path(target), done.read_bytes())


def _s3() -> Any:
    import boto3

    return cast("Any", boto3.client("s3"))
