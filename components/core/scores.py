"""Scores as the evaluation writes them and the gate reads them: any number of metrics over documents.

In: rows, from whoever evaluates anything. Out: one table that the gate compares with another model's.
In between: a metric is a ratio of sums, ``sum(total) / sum(size)`` over rows, so that it can be taken over any slice
and any resample of the documents. An application joins by adding rows under a metric of its own and an entry under
``promote.guardrails`` in params.yaml; nothing else knows its name. What little effort achieves on the same items stands
beside it, under the name of the metric and of that floor (``of_floor``).

    metric    what is measured
    document  what the row belongs to; rows of one document are never told apart by chance ('' for a property of
              the model itself, such as its size: one row, compared exactly)
    item      digest of what was scored; two models are compared on equal items only
    slices    groups of the row, each ``kind:value`` (``language:en``)
    total, size
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FILE = "scores.parquet"
SCORES = pa.schema([
    pa.field("metric", pa.string(), nullable=False),
    pa.field("document", pa.string(), nullable=False),
    pa.field("item", pa.string(), nullable=False),
    pa.field("slices", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False),
    pa.field("total", pa.float64(), nullable=False),
    pa.field("size", pa.float64(), nullable=False),
])  # fmt: skip
_ROW_GROUP_ROWS = 50_000


def make_scores(
    metric: str, documents: Sequence[str], items: Sequence[str], totals: object, sizes: object,
    slices: Sequence[Sequence[str]] | None = None,
) -> pa.Table:  # fmt: skip
    """The rows of one metric."""
    columns = [[metric] * len(documents), list(documents), list(items), slices or [[]] * len(documents), totals, sizes]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCORES, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCORES)


def of_floor(metric: str, floor: str) -> str:
    """What a metric is called where a floor was measured in it and no model."""
    return f"{metric}/{floor}"


def property_of_model(metric: str, value: float) -> pa.Table:
    """The one row of what is not measured on documents."""
    return make_scores(metric, [""], [""], [value], [1.0])


def write_scores(folder: Path, tables: Sequence[pa.Table]) -> None:
    """Write all metrics of an evaluation into its folder."""
    table = pa.concat_tables(tables).sort_by([("metric", "ascending"), ("document", "ascending")])
    pq.write_table(table, folder / FILE, compression="zstd", row_group_size=_ROW_GROUP_ROWS)
