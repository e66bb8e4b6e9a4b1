"""Copies and near-copies, found by a shuffle: nobody ever holds a table of all documents.

In: for each row group its documents' identities, digests, MinHash signatures and band keys, in files (``Leaf``).
Out: for each row group the copies in it, each with a detail that names the document which is kept instead. In between:
a partition holds the documents whose key falls into it, and of those only what shares its key with another is looked
at. Of the documents that are alike, directly or through others, the one with the smallest ``doc_id`` is kept, whatever
the order of the input and whoever found the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from components.core.scratch import read_table, write_table
from components.preprocess.signatures import Array

_PARTITION_DOCUMENTS = 1 << 21
# In a crowded bucket a document is compared with that many representatives, then left alone.
_ROUNDS = 16
_PAIRS = {"doc_id": pl.String, "group": pl.Int64, "row": pl.Int64, "other": pl.String, "is_exact": pl.Boolean}
COPIES = {"row": pl.Int64, "reason": pl.String, "detail": pl.String}


@dataclass(frozen=True)
class Leaf:
    """The files of one row group's kept documents.

    ``index`` is a table of their identities and digests, the others hold raw numbers; the first row of the keys is the
    first 8 bytes of each digest.
    # keys: [1 + num_bands, num_documents] uint64; signatures: [num_documents, num_hashes] uint32
    """

    num_documents: int
    index: Path
    keys: Path
    signatures: Path

    def read_keys(self, band: int) -> Array:
        """One row of the keys; the bytes of the others are not read."""
        return np.fromfile(self.keys, np.uint64, self.num_documents, offset=8 * band * self.num_documents)

    def read_signatures(self, rows: Array) -> Array:
        """The signatures of some documents; the file is mapped only for as long as that takes."""
        return np.array(np.memmap(self.signatures, np.uint32, mode="r").reshape(self.num_documents, -1)[rows])


@dataclass(frozen=True)
class Search:
    """What all partitions share; ``min_similarity`` is the share of equal values of two signatures."""

    leaves: tuple[Leaf, ...]
    min_similarity: float
    num_partitions: int
    scratch: Path


@dataclass(frozen=True)
class Partition:
    """The documents whose key in row ``band`` of the keys leaves the remainder ``number``; band 0 is of digests."""

    band: int
    number: int


def partitions(num_documents: int, num_bands: int) -> list[Partition]:
    """All partitions of a corpus, digests first."""
    numbers = range(count_partitions(num_documents))
    return [Partition(band, number) for band in range(num_bands + 1) for number in numbers]


def count_partitions(num_documents: int) -> int:
    """How many partitions a band has, so that each fits into memory."""
    return 1 + num_documents // _PARTITION_DOCUMENTS


def find_pairs(search: Search, partition: Partition) -> Path:
    """The pairs of one partition: each copy with a smaller identity that it is like."""
    candidates = _with_identity(search, _crowded(search, partition))
    pairs = _equal(candidates) if partition.band == 0 else _alike(search, candidates)
    path = search.scratch / f"pairs-{partition.band:03d}-{partition.number:05d}.parquet"
    pairs.select(list(_PAIRS)).write_parquet(path, compression="lz4")
    return path


def settle(search: Search, pairs: Sequence[Path]) -> list[Path]:
    """For each row group a file of its copies: row, reason and detail."""
    edges = pl.concat([pl.read_parquet(path) for path in pairs]).unique(maintain_order=False)
    copies = _with_reason(search, _resolve(edges))
    paths = [search.scratch / f"copies-{number:06d}" for number in range(len(search.leaves))]
    parts = copies.partition_by("group", as_dict=True)
    empty = pl.DataFrame(schema=COPIES)
    for number, path in enumerate(paths):
        write_table(parts.get((number,), empty).select(list(COPIES)).sort("row").to_arrow(), path)
    return paths


def _crowded(search: Search, partition: Partition) -> pl.DataFrame:
    """Key, group and row of the documents of a partition that share their key with another."""
    found = [(np.empty(0, np.uint64), np.empty(0, np.int64))]
    for leaf in search.leaves:
        keys = leaf.read_keys(partition.band)
        rows = np.flatnonzero(keys % np.uint64(search.num_partitions) == partition.number)
        found.append((keys[rows], rows))
    keys, rows = map(np.concatenate, zip(*found, strict=True))
    group = np.repeat(np.arange(len(search.leaves)), [len(rows) for _, rows in found[1:]])
    is_crowded = pl.Series(keys).is_duplicated().to_numpy()
    return pl.DataFrame({"key": keys[is_crowded], "group": group[is_crowded], "row": rows[is_crowded]})


def _with_identity(search: Search, candidates: pl.DataFrame) -> pl.DataFrame:
    parts = [candidates.with_columns(doc_id=pl.lit("", pl.String), digest=pl.lit(b"", pl.Binary)).head(0)]
    for (number,), part in candidates.partition_by("group", as_dict=True).items():
        index = read_table(search.leaves[int(number)].index).take(part["row"].to_arrow())
        parts.append(pl.concat([part, pl.DataFrame(pl.from_arrow(index))], how="horizontal"))
    return pl.concat(parts)


def _equal(candidates: pl.DataFrame) -> pl.DataFrame:
    pairs = candidates.with_columns(other=pl.col("doc_id").min().over("digest"), is_exact=pl.lit(value=True))
    return pairs.filter(pl.col("doc_id") != pl.col("other"))


def _alike(search: Search, candidates: pl.DataFrame) -> pl.DataFrame:
    """Pairs of a bucket's members and its representative; who is unlike it tries the next representative."""
    found = [pl.DataFrame(schema=_PAIRS)]
    for _ in range(_ROUNDS):
        least = candidates.filter(pl.col("doc_id") == pl.col("doc_id").min().over("key"))
        heads = least.select("key", other="doc_id", other_group="group", other_row="row")
        pairs = candidates.join(heads, on="key").filter(pl.col("doc_id") != pl.col("other"))
        if not pairs.height:
            break
        is_alike = _similarity(search, pairs) >= search.min_similarity
        found.append(pairs.filter(is_alike).with_columns(is_exact=pl.lit(value=False)).select(list(_PAIRS)))
        candidates = pairs.filter(~is_alike).select(candidates.columns)
    return pl.concat(found)


def _similarity(search: Search, pairs: pl.DataFrame) -> pl.Series:
    """The share of equal values of the two signatures of each pair: an estimate of their Jaccard similarity."""
    if not pairs.height:
        return pl.Series(np.empty(0))
    ours = _signatures(search, pairs["group"].to_numpy(), pairs["row"].to_numpy())
    others = _signatures(search, pairs["other_group"].to_numpy(), pairs["other_row"].to_numpy())
    return pl.Series((ours == others).mean(axis=1))


def _signatures(search: Search, groups: Array, rows: Array) -> Array:
    """Those of documents by group and row, a group at a time.  # [num_documents, num_hashes] uint32"""
    order = np.argsort(groups, kind="stable")
    numbers, starts = np.unique(groups[order], return_index=True)
    places = np.split(order, starts[1:])
    found = np.concatenate([search.leaves[n].read_signatures(rows[at]) for n, at in zip(numbers, places, strict=True)])
    found[order] = found.copy()
    return found


def _resolve(edges: pl.DataFrame) -> pl.DataFrame:
    """Each copy once: ``kept``, the least identity it is connected to, and ``equal``, the first with its text."""
    names = pl.concat([edges["doc_id"], edges["other"]]).unique().sort()
    left, right = (names.search_sorted(edges[column]).to_numpy() for column in ("doc_id", "other"))
    kept = names[_components(len(names), left, right)] if len(names) else names
    table = edges.with_columns(kept=kept.gather(left) if len(names) else names)
    equal = pl.col("other").filter(pl.col("is_exact")).first()
    return table.group_by("doc_id", "group", "row", "kept").agg(equal=equal).sort("doc_id")


def _components(num: int, left: Array, right: Array) -> Array:
    """The least member of each node's component: labels sink along edges until none does (Shiloach, Vishkin 1982)."""
    labels = np.arange(num)
    while True:
        least = np.minimum(labels[left], labels[right])
        sunk = labels.copy()
        for nodes in (left, right, labels[left], labels[right]):
            np.minimum.at(sunk, nodes, least)
        sunk = sunk[sunk]
        if np.array_equal(sunk, labels):
            return labels
        labels = sunk


def _with_reason(search: Search, copies: pl.DataFrame) -> pl.DataFrame:
    detail = pl.format("the text of {}", pl.col("equal"))
    is_root = pl.col("equal") == pl.col("kept")
    alike = pl.format("like {}, which is kept", pl.col("kept"))
    return copies.with_columns(
        reason=pl.when(pl.col("equal").is_null()).then(pl.lit("near_duplicate")).otherwise(pl.lit("duplicate")),
        detail=pl.when(pl.col("equal").is_null())
        .then(pl.format("{} (signatures at least {} equal, directly or through others)", alike, search.min_similarity))
        .when(is_root)
        .then(pl.format("{}, which is kept", detail))
        .otherwise(pl.format("{}, {}", detail, alike)),
    )
