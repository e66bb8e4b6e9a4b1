"""What is measured about each document, without its text.

In: document shards, with or without a split. Out: a narrow table, one row per document in the order of the shards.
In between: two row groups of texts are in memory at a time, one is read while the other is counted; columns of
strings are categories, so each distinct one is kept once.

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

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from components.core.documents import list_row_groups
from components.core.progress import Progress
from components.core.tokens import SPLITS
from components.validate.characters import count_characters

_GROUPS_AT_ONCE = 2
_READ = ("doc_id", "text", "source", "licence", "language", "split")
SHARES = ("replacement_share", "control_share", "alphabetic_share")


def measure(folder: Path, schema: pa.Schema) -> pl.DataFrame:
    """The table above for the shards of ``folder``, DOCUMENTS or CORPUS. Raises InputError for a bad shard."""
    columns = [name for name in schema.names if name in _READ]
    groups, parts = list_row_groups(folder), [measure_rows(schema.empty_table().select(columns))]
    total = sum(group.num_rows for group in groups)
    with Progress("measuring documents", total, "documents") as progress, ThreadPoolExecutor(_GROUPS_AT_ONCE) as pool:
        for part in pool.map(lambda group: measure_rows(group.read(columns)), groups):
            parts.append(part)
            progress.advance(part.height)
    pa.default_memory_pool().release_unused()  # Or it keeps what texts took until the process ends.
    table = pl.concat(parts)
    return table.with_columns(is_repeated=(~pl.col("text_hash").is_first_distinct()).cast(pl.Float64)).drop("text_hash")


def measure_rows(table: pa.Table) -> pl.DataFrame:
    """The columns above for some documents; ``text_hash`` stands for the text until copies are found."""
    counts = count_characters(pc.fill_null(table["text"].cast(pa.large_string()), "").combine_chunks())
    documents = pl.DataFrame(pl.from_arrow(table))
    length, letters, controls, replacements = (pl.lit(pl.Series(column)) for column in counts.T.copy())
    split = _division() if "split" in documents.columns else []
    return documents.select(
        pl.col("doc_id", "language").cast(pl.Categorical),
        *split,
        source=_stated("source"),
        licence=_stated("licence"),
        num_characters=length,
        replacement_share=_share(replacements, length),
        control_share=_share(controls, length),
        alphabetic_share=_share(letters, length),
        text_hash=pl.col("text").fill_null("").hash(seed=1),
    )


def _division() -> list[pl.Expr]:
    split = pl.col("split").fill_null("").cast(pl.Categorical)
    return [split, *((split == name).cast(pl.Float64).alias(f"in_{name}") for name in SPLITS[1:])]


def _stated(column: str) -> pl.Expr:
    stripped = pl.col(column).str.strip_chars()
    return pl.when(~stripped.str.to_lowercase().is_in(["", "unknown"])).then(pl.col(column)).cast(pl.Categorical)


def _share(count: pl.Expr, length: pl.Expr) -> pl.Expr:
    """A share of the characters; 0 for an empty text, whose length fails by itself."""
    return pl.when(length > 0).then(count / length).otherwise(0.0)
