"""What is measured about each document, without its text.

In: document shards, with or without a split. Out: a narrow table, one row per document in the order of the shards.
In between: one row group of texts is in memory at a time.

    doc_id              as it stands
    source, licence     null where empty or blank; a licence ``unknown`` is null too
    language            as it stands
    split               as it stands, empty for null; where the shards have it
    num_characters      Unicode characters of the text; 0 where there is no text
    replacement_share   U+FFFD among them: the mark of bytes that were not understood
    control_share       control characters (C0 without tab, line feed and return; DEL; C1) among them
    alphabetic_share    letters of any script among them
    is_repeated         1.0 where the same text stands in an earlier row, else 0.0
    in_validation, in_test   1.0 where that is the split, else 0.0; where the shards have splits
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa

from components.core.documents import count_documents, read_row_groups
from components.core.progress import Progress
from components.core.strings import arrow_texts
from components.core.tokens import SPLITS
from components.validate.characters import count_characters

_READ = ("doc_id", "text", "source", "licence", "language", "split")
SHARES = ("replacement_share", "control_share", "alphabetic_share")


def measure(folder: Path, schema: pa.Schema) -> pl.DataFrame:
    """The table above for the shards of ``folder``, DOCUMENTS or CORPUS. Raises InputError for a bad shard."""
    columns = [name for name in schema.names if name in _READ]
    parts = [measure_rows(pl.DataFrame(pl.from_arrow(schema.empty_table())).select(columns))]
    with Progress("measuring documents", total=count_documents(folder), unit="documents") as progress:
        for group in read_row_groups(folder, columns):
            parts.append(measure_rows(pl.DataFrame(pl.from_arrow(group))))
            progress.advance(group.num_rows)
    table = pl.concat(parts)
    return table.with_columns(is_repeated=(~pl.col("text_hash").is_first_distinct()).cast(pl.Float64)).drop("text_hash")


def measure_rows(documents: pl.DataFrame) -> pl.DataFrame:
    """The columns above for some documents; ``text_hash`` stands for the text until copies are found."""
    texts = documents["text"].fill_null("")
    counts = count_characters(arrow_texts(texts))
    length, letters, controls, replacements = (pl.lit(pl.Series(column)) for column in counts.T.copy())
    split = _division() if "split" in documents.columns else []
    return documents.select(
        "doc_id",
        *split,
        source=_stated("source"),
        licence=_stated("licence"),
        language="language",
        num_characters=length,
        replacement_share=_share(replacements, length),
        control_share=_share(controls, length),
        alphabetic_share=_share(letters, length),
        text_hash=texts.hash(seed=1),
    )


def _division() -> list[pl.Expr]:
    split = pl.col("split").fill_null("")
    return [split, *((split == name).cast(pl.Float64).alias(f"in_{name}") for name in SPLITS[1:])]


def _stated(column: str) -> pl.Expr:
    stripped = pl.col(column).str.strip_chars()
    return pl.when(~stripped.str.to_lowercase().is_in(["", "unknown"])).then(pl.col(column))


def _share(count: pl.Expr, length: pl.Expr) -> pl.Expr:
    """A share of the characters; 0 for an empty text, whose length fails by itself."""
    return pl.when(length > 0).then(count / length).otherwise(0.0)
