"""Documents out of Parquet files.

In: a stream of a Parquet file. Out: one item for each row. In between: a batch of 256 rows is in memory; the size of
a row group is looked up before it is read.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.config import FilesSource
from components.ingest.formats import split_suffixes
from components.ingest.items import Item
from components.ingest.limits import Limits
from components.ingest.texts import bad_byte, show

_BATCH_ROWS = 256


def read_parquet(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The column ``source.text_field`` of each row."""
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
        return Item(position, show(error.object), reason="wrong_encoding", detail=bad_byte(error))
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
