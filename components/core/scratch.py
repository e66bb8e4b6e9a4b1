"""Tables of the scratch folder: written as they lie in memory, read again without a copy.

In: a table and a place. Out: the same table. In between: nobody else reads these files, and they go with the folder.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import feather


def write_table(table: pa.Table, path: Path) -> None:
    """Write ``table`` to ``path``."""
    feather.write_feather(table, path, compression="uncompressed")


def read_table(path: Path) -> pa.Table:
    """The table that was written to ``path``, mapped into memory."""
    return feather.read_table(path, memory_map=True)
