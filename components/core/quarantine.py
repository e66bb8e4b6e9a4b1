"""The documents that a validation set aside: who leaves them out reads them here.

In: the folder of a validation. Out: the identities of its quarantined documents.
In between: a stage that reads checks must find all of them in what was checked, so that checks of another
corpus are refused and nothing is left out uncounted.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import InputError

FILE = "quarantine.parquet"


def read_quarantine(checks: Path) -> frozenset[str]:
    """The ``doc_id`` of each quarantined document. Raises InputError for a missing or damaged file."""
    path = checks / FILE
    try:
        column = pq.read_table(path, columns=["doc_id"]).column("doc_id")
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise _refuse(path, str(error)) from None
    return frozenset(column.to_pylist())


def _refuse(path: Path, found: str) -> InputError:
    fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
    return InputError(str(path), found=found, expected="Parquet with a column doc_id", fix=fix)
