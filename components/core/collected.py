"""Collected records as rooms meet them: rows of other people's tables, each with where it came from.

In: the folder of the ``collect`` stage. Out: the records, all or of one application. In between: columns keep the names
and values that they were found with; what they mean is said by who uses them.

    records.parquet    columns of ``RECORDS``, in the order in which they were read; ``fields`` is a JSON object
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import InputError

FILE = "records.parquet"
RECORDS = pa.schema([
    pa.field("record_id", pa.string(), nullable=False),
    pa.field("application", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("licence", pa.string(), nullable=False),
    pa.field("language", pa.string()),
    pa.field("split", pa.string()),  # null where the source does not say it
    pa.field("text", pa.large_string(), nullable=False),  # the record as a JSON object
])  # fmt: skip


def read_records(folder: Path, application: str | None = None) -> pa.Table:
    """The records that were collected, all or those for an application. Raises InputError."""
    path = folder / FILE
    try:
        filters = [("application", "=", application)] if application else None
        return pq.read_table(path, filters=filters).select(RECORDS.names)
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
        raise InputError(str(path), found=str(error), expected="Parquet with records", fix=fix) from None
