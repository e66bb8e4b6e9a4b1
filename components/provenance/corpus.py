"""What a corpus is made of, counted: documents and bytes by source, licence, language and split.

In: the folders of preprocess (more than one where a model was trained on from another) and of collected records. Out:
``corpus.json`` of a version. In between: counts and names only, no text; one row group is in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.collected import FILE
from components.core.documents import read_row_groups

CORPUS, CORPUS_STAGE, RECORDS_STAGE = "corpus.json", "preprocess", "collect"
_KEYS = ("source", "licence", "language", "split")


def describe_corpora(folders: Iterable[Path], collected: Iterable[Path] = ()) -> dict[str, Any]:
    """Rows of source, licence, language (``-`` where unknown), split, documents and bytes, in order of the names.

    A collected record counts as a document; one of no split (``-``) may be learned.
    """
    documents, num_bytes = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    columns = [*_KEYS, "text"]
    corpora = (table for folder in folders for table in read_row_groups(folder, columns))
    for table in chain(corpora, (pq.read_table(folder / FILE, columns=columns) for folder in collected)):
        sizes = pc.binary_length(table.column("text").cast("large_binary"))
        counted = table.select(_KEYS).append_column("bytes", sizes).group_by(list(_KEYS), use_threads=False)
        for row in counted.aggregate([("bytes", "sum"), ("bytes", "count")]).to_pylist():
            key = tuple(row[name] or "-" for name in _KEYS)
            documents[key] += row["bytes_count"]
            num_bytes[key] += row["bytes_sum"]
    rows = [{**dict(zip(_KEYS, key, strict=True)), "documents": documents[key], "bytes": num_bytes[key]}
            for key in sorted(documents)]  # fmt: skip
    return {"rows": rows}


def total(corpus: dict[str, Any], by: str, value: str = "documents") -> dict[str, int]:
    """The sum of documents (or ``bytes``) for each value of a column, in order of the names."""
    sums = Counter[str]()
    for row in corpus["rows"]:
        sums[row[by]] += row[value]
    return dict(sorted(sums.items()))
