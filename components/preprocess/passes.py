"""The two passes over the documents: the first finds the copies of each text, the second writes the corpus.

In: document shards, read by row groups. Out: which copy of each text is kept; then the corpus and its rejects.
In between: memory holds one row group and one digest per document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from components.core.documents import (
    CORPUS,
    DOCUMENTS,
    DocumentWriter,
    Reject,
    RejectsWriter,
    count_documents,
    read_row_groups,
)
from components.core.progress import Progress
from components.core.stage import Books, Report
from components.preprocess.config import PreprocessConfig
from components.preprocess.judge import drop_duplicates, first_copies, judge, refuse_unknown
from components.preprocess.split import SPLITS, assign_splits


def find_first_copies(
    documents: Path, checks: Path, quarantine: pl.DataFrame, config: PreprocessConfig
) -> pl.DataFrame:
    """The copy of each text that is kept, as ``first_copies`` gives it.

    Raises InputError when the checks are those of other documents.
    """
    frames = _read(documents, "finding copies", ["doc_id", "text"])
    judged = (judge(frame, quarantine, config).select("doc_id", "digest") for frame in frames)
    index = pl.concat(judged)
    refuse_unknown(quarantine, index, checks)
    return first_copies(index)


def write_corpus(
    documents: Path, output: Path, quarantine: pl.DataFrame, firsts: pl.DataFrame, config: PreprocessConfig
) -> Report:
    """Write kept documents with their split, dropped ones with their reason; returns the books."""
    splits, text_bytes = Counter(dict.fromkeys(SPLITS, 0)), 0
    with DocumentWriter(output, config.shard_documents, CORPUS) as writer, RejectsWriter(output) as rejects:
        for frame in _read(documents, "writing the corpus"):
            judged = drop_duplicates(judge(frame, quarantine, config), firsts)
            kept = _with_split(judged.filter(pl.col("reason").is_null()), config)
            writer.write(kept.select(CORPUS.names).to_arrow(compat_level=pl.CompatLevel.oldest()))
            for row in judged.filter(pl.col("reason").is_not_null()).select(Reject._fields).iter_rows():
                rejects.add(row)
            splits.update(kept["split"])
            text_bytes += int(kept["text"].str.len_bytes().sum())
    books = Books(count_documents(documents), splits.total(), rejects.dropped)
    return Report({**{f"{name}_documents": splits[name] for name in SPLITS}, "text_bytes": text_bytes}, books)


def _read(documents: Path, description: str, columns: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """The documents by row groups, after an empty frame that keeps an empty corpus on the same path as any other."""
    yield pl.DataFrame(pl.from_arrow(DOCUMENTS.empty_table())).select(columns or pl.all())
    with Progress(description, total=count_documents(documents), unit="documents") as progress:
        for table in read_row_groups(documents, columns or DOCUMENTS.names):
            yield pl.DataFrame(pl.from_arrow(table))
            progress.advance(table.num_rows)


def _with_split(kept: pl.DataFrame, config: PreprocessConfig) -> pl.DataFrame:
    splits = assign_splits(
        kept["digest"], seed=config.seed, validation_share=config.validation_share, test_share=config.test_share
    )
    return kept.with_columns(pl.Series("split", splits, dtype=pl.String))
