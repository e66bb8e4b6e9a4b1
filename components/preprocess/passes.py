"""The two passes over the documents: the first cleans each row group, the second drops copies and writes the corpus.

In: document shards, read by row groups. Out: the corpus and its rejects. In between: cleaned row groups wait in a
scratch folder, so each document is cleaned once; memory holds one row group and one digest per document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.documents import (
    CORPUS,
    DOCUMENTS,
    REJECTS_SCHEMA,
    DocumentWriter,
    RejectsWriter,
    count_documents,
    read_row_groups,
)
from components.core.progress import Progress
from components.core.stage import Books, Report
from components.preprocess.cleaning import clean
from components.preprocess.config import PreprocessConfig
from components.preprocess.duplicates import as_rejects, digest, first_copies, name_first
from components.preprocess.quarantine import read_reasons, refuse_unknown
from components.preprocess.split import SPLITS, assign_splits


def write_corpus(documents: Path, checks: Path, output: Path, scratch: Path, config: PreprocessConfig) -> Report:
    """Write kept documents with their split, dropped ones with their reason; returns the books.

    Raises InputError when the checks are those of other documents.
    """
    mended = Counter[str]()
    splits, text_bytes = Counter(dict.fromkeys(SPLITS, 0)), 0
    with DocumentWriter(output, config.shard_documents, CORPUS) as writer, RejectsWriter(output) as rejects:
        groups = _clean_all(documents, checks, scratch, rejects, mended, config)
        firsts = first_copies(pl.concat(_index(pq.read_table(group)) for group in groups))
        for group in groups:
            frame = name_first(_with_digest(pq.read_table(group)), firsts)
            is_first = pl.col("doc_id") == pl.col("first")
            kept = _with_split(frame.filter(is_first), config)
            writer.write(_table(kept, CORPUS))
            rejects.write(_table(as_rejects(frame.filter(~is_first)), REJECTS_SCHEMA))
            splits.update(kept["split"])
            text_bytes += int(kept["text"].str.len_bytes().sum())
    books = Books(count_documents(documents), splits.total(), rejects.dropped)
    return Report({**{f"{name}_documents": splits[name] for name in SPLITS}, "text_bytes": text_bytes, **mended}, books)


def _clean_all(
    documents: Path, checks: Path, scratch: Path, rejects: RejectsWriter, mended: Counter[str], config: PreprocessConfig
) -> list[Path]:
    """Clean every row group into a file of ``scratch``; returns the files in the order of the input."""
    quarantine, seen, groups = read_reasons(checks), list[pl.Series](), list[Path]()
    for number, table in enumerate(_read(documents, "cleaning")):
        cleaned = clean(table, quarantine, config)
        rejects.write(cleaned.rejects)
        mended.update(cleaned.counts)
        groups.append(scratch / f"cleaned-{number:06d}.parquet")
        pq.write_table(cleaned.kept, groups[-1], compression="none", use_dictionary=False, write_statistics=False)
        seen.append(pl.Series(table["doc_id"]))
    refuse_unknown(quarantine, pl.concat(seen), checks)
    return groups


def _read(documents: Path, description: str) -> Iterator[pa.Table]:
    """The documents by row groups, after an empty table that keeps an empty corpus on the same path as any other."""
    yield DOCUMENTS.empty_table()
    with Progress(description, total=count_documents(documents), unit="documents") as progress:
        for table in read_row_groups(documents, DOCUMENTS.names):
            yield table
            progress.advance(table.num_rows)


def _index(cleaned: pa.Table) -> pl.DataFrame:
    return _with_digest(cleaned.select(["doc_id", "text"])).select("doc_id", "digest")


def _with_digest(cleaned: pa.Table) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(cleaned))
    return frame.with_columns(digest(frame["text"]))


def _with_split(kept: pl.DataFrame, config: PreprocessConfig) -> pl.DataFrame:
    splits = assign_splits(
        kept["digest"], seed=config.seed, validation_share=config.validation_share, test_share=config.test_share
    )
    return kept.with_columns(pl.Series("split", splits, dtype=pl.String))


def _table(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest())
