"""The pieces of work of ``preprocess``: what is done to one row group, wherever it is done.

In: a row group, and files of a scratch folder that earlier pieces wrote. Out: further files there, and a few numbers.
In between: every function depends on its arguments alone.

    clean_group    texts mended, documents judged one by one, copies made findable
    survey_group   copies dropped, splits and places assigned, held-out grams collected
    weigh_group    training texts that repeat held-out ones dropped, bytes of each source counted
    finish_group   sources cut to their limits, rows chosen that will stand in the corpus
    write_file     one file of the corpus, from the row groups that it takes its rows from, or that of all rejects
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from components.core.documents import CORPUS, DOCUMENTS, REJECTS_SCHEMA, DocumentWriter, RejectsWriter, RowGroup
from components.core.pinned import PinnedFile
from components.core.scratch import read_table, write_table
from components.preprocess.cleaning import clean
from components.preprocess.config import PreprocessConfig
from components.preprocess.contamination import grams_of_sets
from components.preprocess.copies import Leaf
from components.preprocess.page import Dropped
from components.preprocess.quarantine import read_reasons
from components.preprocess.shares import NUM_PLACES, assign_places
from components.preprocess.signatures import Array, Words, band_keys, collect_grams, count_hits, read_words, sign
from components.preprocess.split import assign_splits

_REJECTS = ("rejects", "copies-rejects", "late-rejects")


@dataclass(frozen=True)
class Plan:
    """What all pieces share."""

    config: PreprocessConfig
    checks: Path
    scratch: Path

    def place(self, kind: str, number: int) -> Path:
        """A file of a row group in the scratch folder."""
        return self.scratch / f"{kind}-{number:06d}"


@dataclass(frozen=True)
class CleanedGroup:
    """What came of a row group, which of the quarantined documents were in it, and how much of what was mended."""

    leaf: Leaf
    num_kept: int
    quarantined: tuple[str, ...]
    mended: Mapping[str, int]


def clean_group(plan: Plan, piece: tuple[int, RowGroup | None]) -> CleanedGroup:
    """Clean a numbered row group (None: one without documents), and make its documents findable for their copies."""
    number, group = piece
    documents = group.read(DOCUMENTS.names) if group else DOCUMENTS.empty_table()
    quarantine = _quarantine(plan.checks)
    cleaned = clean(documents, quarantine, plan.config)
    words = read_words(cleaned.kept["text"])
    kept, contaminated = _drop_contaminated(plan, cleaned.kept, words)
    write_table(kept, plan.place("cleaned", number))
    write_table(pa.concat_tables([cleaned.rejects, contaminated]), plan.place("rejects", number))
    words = read_words(kept["text"]) if contaminated.num_rows else words
    seen = pl.Series(documents["doc_id"])
    quarantined = tuple(seen.filter(seen.is_in(quarantine["doc_id"].implode())))
    return CleanedGroup(_write_leaf(plan, number, kept, words), kept.num_rows, quarantined, cleaned.counts)


def survey_group(plan: Plan, piece: tuple[int, Path]) -> int:
    """Drop a row group's copies, divide the rest, and write the grams of its held-out documents; counts these."""
    number, copies = piece
    frame = pl.DataFrame(pl.from_arrow(read_table(plan.place("cleaned", number)))).with_row_index("row")
    index = pl.DataFrame(pl.from_arrow(read_table(plan.place("index", number)).select(["digest"])))
    judged = pl.concat([frame.with_columns(pl.col("row").cast(pl.Int64)), index], how="horizontal").join(
        pl.DataFrame(pl.from_arrow(read_table(copies))), on="row", how="left", maintain_order="left"
    )
    kept = _divide(judged.filter(pl.col("reason").is_null()), plan.config)
    write_table(
        _table(judged.filter(pl.col("reason").is_not_null()), REJECTS_SCHEMA), plan.place("copies-rejects", number)
    )
    write_table(kept.select("row", "split", "place").to_arrow(), plan.place("divided", number))
    if plan.config.max_held_out_share == 1:
        return 0
    held_out = kept.filter(pl.col("split") != "train")
    found = collect_grams(_words(held_out), plan.config.gram_words)
    np.save(plan.place("grams", number).with_suffix(".npy"), found, allow_pickle=False)
    return len(found)


@dataclass(frozen=True)
class HeldOut:
    """Where the table of held-out grams lies, and the bits of those that it holds."""

    table: Path
    mask: int


@dataclass(frozen=True)
class Weights:
    """The place and the bytes of each kept document of a source.  # both [num_documents]"""

    places: Array
    num_bytes: Array


def weigh_group(shared: tuple[Plan, HeldOut], number: int) -> dict[str, Weights]:
    """Drop a row group's training texts that repeat held-out ones; returns what the rest weighs, by source."""
    plan, held_out = shared
    frame = _kept(plan, "divided", number)
    share, limit = _held_out_share(plan, frame, held_out), plan.config.max_held_out_share
    falls = (share > limit) & (frame["split"] == "train")
    detail = pl.format("{} of its runs of words stand in held-out documents, at most {}", share.round(3), limit)
    reason = pl.lit("held_out_overlap")
    frame = frame.with_columns(reason=pl.when(falls).then(reason), detail=pl.when(falls).then(detail))
    write_table(frame.select("row", "split", "place", "reason", "detail").to_arrow(), plan.place("weighed", number))
    kept = frame.filter(pl.col("reason").is_null())
    return {
        str(name): Weights(part["place"].to_numpy(), part["text"].str.len_bytes().to_numpy())
        for (name,), part in kept.partition_by("source", as_dict=True).items()
    }


@dataclass(frozen=True)
class FinishedGroup:
    """How many documents of a row group are kept, in all and by split and source, and their bytes of text."""

    num_documents: int
    num_bytes: int
    of_split: Mapping[str, int]
    of_source: Mapping[str, int]


def finish_group(shared: tuple[Plan, dict[str, int]], number: int) -> FinishedGroup:
    """Cut sources to their limits and write which rows of a row group will stand."""
    plan, limits = shared
    frame = _kept(plan, "weighed", number)
    limit = pl.col("source").replace_strict(limits, default=NUM_PLACES, return_dtype=pl.Int64)
    falls = pl.col("reason").is_null() & (pl.col("place") >= limit)
    told = pl.format("place {} of 65536, of its source those below {} are kept", pl.col("place"), limit)
    frame = frame.with_columns(
        reason=pl.when(falls).then(pl.lit("source_limit")).otherwise("reason"),
        detail=pl.when(falls).then(told).otherwise("detail"),
    )
    kept = frame.filter(pl.col("reason").is_null())
    write_table(kept.select("row", "split").to_arrow(), plan.place("finished", number))
    write_table(
        _table(frame.filter(pl.col("reason").is_not_null()), REJECTS_SCHEMA), plan.place("late-rejects", number)
    )
    of_split, of_source = Counter(kept["split"].to_list()), Counter(kept["source"].to_list())
    return FinishedGroup(kept.height, int(kept["text"].str.len_bytes().sum()), of_split, of_source)


@dataclass(frozen=True)
class ShardPiece:
    """A file of the corpus: for each row group that it takes rows from, its number, the first row and how many."""

    number: int
    slices: tuple[tuple[int, int, int], ...]
    output: Path


@dataclass(frozen=True)
class RejectsPiece:
    """The one file of what was dropped, in the order in which it was dropped."""

    output: Path


def write_file(plan: Plan, piece: ShardPiece | RejectsPiece) -> Dropped:
    """Write one file of the output; returns what was dropped where that is what it holds."""
    if isinstance(piece, RejectsPiece):
        return _write_rejects(plan, piece.output)
    _write_shard(plan, piece)
    return Dropped()


def _write_rejects(plan: Plan, output: Path) -> Dropped:
    dropped = Dropped()
    with RejectsWriter(output) as rejects:
        for path in (path for kind in _REJECTS for path in sorted(plan.scratch.glob(f"{kind}-[0-9]*"))):
            table = read_table(path)
            rejects.write(table)
            dropped.see(table)
    return dropped


def _write_shard(plan: Plan, piece: ShardPiece) -> None:
    folder = plan.place("shard", piece.number)
    folder.mkdir()
    with DocumentWriter(folder, plan.config.shard_documents, CORPUS) as writer:
        for number, first, num_rows in piece.slices:
            writer.write(_table(_kept(plan, "finished", number).slice(first, num_rows), CORPUS))
    (only,) = folder.iterdir()
    only.replace(piece.output / f"documents-{piece.number:05d}.parquet")


def _drop_contaminated(plan: Plan, kept: pa.Table, words: Words) -> tuple[pa.Table, pa.Table]:
    """Documents without, and as rejects those with, a run of words of a pinned evaluation set."""
    if not plan.config.evaluation_sets:
        return kept, REJECTS_SCHEMA.empty_table()
    hits, _ = count_hits(words, plan.config.gram_words, _pinned(plan.config.evaluation_sets, plan.config.gram_words))
    frame = pl.DataFrame(pl.from_arrow(kept)).with_columns(hits=pl.Series(hits))
    told = pl.format("{} runs of {} words of an evaluation set", pl.col("hits"), plan.config.gram_words)
    rejects = frame.filter(pl.col("hits") > 0).with_columns(reason=pl.lit("contaminated"), detail=told)
    return _table(frame.filter(pl.col("hits") == 0), DOCUMENTS), _table(rejects, REJECTS_SCHEMA)


def _write_leaf(plan: Plan, number: int, kept: pa.Table, words: Words) -> Leaf:
    leaf = Leaf(kept.num_rows, *(plan.place(kind, number) for kind in ("index", "keys", "signatures")))
    digests = [hashlib.sha256(text.as_buffer()).digest() for text in kept["text"]]
    table = pl.DataFrame({"doc_id": kept["doc_id"].to_pylist(), "digest": digests},
                         schema={"doc_id": pl.String, "digest": pl.Binary})  # fmt: skip
    write_table(table.to_arrow(compat_level=pl.CompatLevel.oldest()), leaf.index)
    bands, rows = plan.config.near_duplicate_bands, plan.config.near_duplicate_rows
    signatures = sign(words, bands * rows, plan.config.shingle_words)
    prefixes = np.array([int.from_bytes(digest[:8], "big") for digest in digests], np.uint64)
    keys = np.vstack([prefixes[None], band_keys(signatures, bands, rows)])
    is_wordless = np.diff(words.ends, prepend=0) == 0
    keys[:, is_wordless] = prefixes[is_wordless]  # texts of signs alone are alike only when they are equal
    keys.tofile(leaf.keys)
    signatures.tofile(leaf.signatures)
    return leaf


def _kept(plan: Plan, kind: str, number: int) -> pl.DataFrame:
    """The documents of a row group that a pass kept, with what it said of each; texts stay where cleaning put them."""
    told = pl.DataFrame(pl.from_arrow(read_table(plan.place(kind, number))))
    cleaned = pl.DataFrame(pl.from_arrow(read_table(plan.place("cleaned", number))))
    return pl.concat([cleaned[told["row"]], told], how="horizontal")


def _divide(kept: pl.DataFrame, config: PreprocessConfig) -> pl.DataFrame:
    splits = assign_splits(
        kept["digest"], seed=config.seed, validation_share=config.validation_share, test_share=config.test_share
    )
    places = assign_places(kept["digest"], config.seed)
    return kept.with_columns(pl.Series("split", splits, pl.String), pl.Series("place", places, pl.Int64))


def _held_out_share(plan: Plan, frame: pl.DataFrame, held_out: HeldOut) -> pl.Series:
    """The share of each text's grams that stand in held-out documents; 0 where nobody looks."""
    if plan.config.max_held_out_share == 1:
        return pl.Series(np.zeros(frame.height))
    hits, seen = count_hits(_words(frame), plan.config.gram_words, _table_of(held_out.table), np.uint64(held_out.mask))
    return pl.Series(hits / np.maximum(seen, 1))


def _words(frame: pl.DataFrame) -> Words:
    texts = frame["text"].to_arrow(compat_level=pl.CompatLevel.oldest())
    return read_words(pa.chunked_array([texts], pa.large_string()))


@cache
def _quarantine(checks: Path) -> pl.DataFrame:
    return read_reasons(checks)


@cache
def _table_of(path: Path) -> Any:
    return np.load(path, mmap_mode="r")


@cache
def _pinned(sets: tuple[PinnedFile, ...], size: int) -> Any:
    return grams_of_sets(sets, size)


def _table(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
