"""The stage ``preprocess``: from checked documents to a corpus in three splits.

In: document shards and what the checks quarantined. Out: ``documents-*.parquet`` with normalised texts and a column
``split``, and ``rejects.parquet``. In between: two passes by row groups; the first finds the copies of each text,
the second writes, so memory holds one row group and one digest per document. Which documents are kept does not
depend on the order of the input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.progress import Progress
from components.core.stage import Books, Report
from components.preprocess.config import PreprocessConfig

if TYPE_CHECKING:
    import polars as pl

    from components.core.documents import DocumentWriter

SPLITS = ("train", "validation", "test")


def preprocess(config: PreprocessConfig, *, documents: Path, checks: Path, output: Path) -> Report:
    """Normalise, filter, deduplicate and split. Raises InputError for inputs that are not what they should be."""
    import polars as pl

    from components.core.documents import CORPUS, DocumentWriter, Reject, RejectsWriter, count_documents
    from components.preprocess.judge import drop_duplicates, first_copies, judge, read_quarantine

    quarantine, received = read_quarantine(checks), count_documents(documents)
    with Progress("finding copies", total=received, unit="documents") as progress:
        judged = (judge(frame, quarantine, config) for frame in _frames(documents, progress, ["doc_id", "text"]))
        firsts = first_copies(pl.concat([frame.select("doc_id", "digest") for frame in judged]))
    splits, text_bytes = Counter(dict.fromkeys(SPLITS, 0)), 0
    with (
        DocumentWriter(output, config.shard_documents, CORPUS) as writer,
        RejectsWriter(output) as rejects,
        Progress("writing the corpus", total=received, unit="documents") as progress,
    ):
        for frame in _frames(documents, progress):
            judged_frame = drop_duplicates(judge(frame, quarantine, config), firsts)
            kept = _with_split(judged_frame.filter(pl.col("reason").is_null()), config)
            _write(writer, kept)
            splits.update(kept["split"])
            text_bytes += int(kept["text"].str.len_bytes().sum())
            for row in judged_frame.filter(pl.col("reason").is_not_null()).select(Reject._fields).iter_rows():
                rejects.add(row)
    books = Books(received, splits.total(), rejects.dropped)
    return Report({**{f"{name}_documents": splits[name] for name in SPLITS}, "text_bytes": text_bytes}, books)


def _frames(documents: Path, progress: Progress, columns: list[str] | None = None) -> Iterator[pl.DataFrame]:
    import polars as pl

    from components.core.documents import DOCUMENTS, read_row_groups

    # The empty frame keeps a corpus without documents on the same path as any other.
    yield pl.DataFrame(pl.from_arrow(DOCUMENTS.empty_table())).select(columns or pl.all())
    for table in read_row_groups(documents, columns):
        yield pl.DataFrame(pl.from_arrow(table))
        progress.advance(table.num_rows)


def _with_split(kept: pl.DataFrame, config: PreprocessConfig) -> pl.DataFrame:
    import polars as pl

    from components.preprocess.split import assign_splits

    splits = assign_splits(
        kept["digest"], seed=config.seed, validation_share=config.validation_share, test_share=config.test_share
    )
    return kept.with_columns(pl.Series("split", splits, dtype=pl.String))


def _write(writer: DocumentWriter, kept: pl.DataFrame) -> None:
    import polars as pl

    from components.core.documents import CORPUS

    writer.write(kept.select(CORPUS.names).to_arrow(compat_level=pl.CompatLevel.oldest()))
