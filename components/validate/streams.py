"""What is measured about packed tokens.

In: the folder of ``pack``. Out: two narrow tables, of documents and of splits. In between: streams are read in
pieces of four million tokens, so memory does not grow with them beyond one number per document and window.

Documents, one row each, in the order of the streams:
    doc_id, split, source, language
    num_stream_tokens      from its offset to the next
    num_documented_tokens  as the table of documents says
    has_true_length        whether these two are the same
    ends_with_end_of_text  whether the last of its tokens is end-of-text
    num_end_of_text        how many of its tokens are

Splits, one row each:
    split, num_tokens, num_documents, num_windows
    is_covered             whether offsets run from 0 to the end, with one row in the table for each document
    num_out_of_range       tokens that are not in the vocabulary
    vocabulary_use         share of the vocabulary that occurs; only for train
    entropy_bits           Shannon entropy of a token by its frequency (Shannon 1948, section 6); only for train
    bytes_per_token        bytes of all texts / tokens that are not end-of-text
    end_of_text_share      end-of-text / tokens
    repeated_window_share  windows whose inputs stood in an earlier window / windows
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from components.core.progress import Progress
from components.core.tokens import SPLITS, Layout, Stream, TokenSplit, read_layout

_PIECE_TOKENS = 1 << 22
_HASH_SEED = 1
Counts = npt.NDArray[np.int64]


class Measured(NamedTuple):
    """The tables of documents and of splits, and how often each token of the vocabulary stands in train."""

    documents: pl.DataFrame
    splits: pl.DataFrame
    counts: Counts


def measure(folder: Path) -> Measured:
    """What is measured of a folder of packed tokens. Raises InputError when files contradict the layout."""
    layout = read_layout(folder)
    splits = [TokenSplit.open(folder, name) for name in SPLITS if name in layout.splits]
    total = sum(len(split.stream) for split in splits)
    with Progress("measuring tokens", total=total, unit="tokens") as progress:
        documents, rows, train = [], [], np.zeros(layout.vocabulary_size, np.int64)
        for split in splits:
            counts = count_tokens(split.stream, layout.vocabulary_size)
            documents.append(measure_documents(split, layout.end_of_text))
            rows.append(measure_split(split, layout, counts))
            train = counts[:-1] if split.name == "train" else train
            progress.advance(len(split.stream))
    return Measured(pl.concat(documents), pl.DataFrame(rows), train)


def measure_documents(split: TokenSplit, end_of_text: int) -> pl.DataFrame:
    """The rows of one split's documents; where offsets and table differ in length, those that have both."""
    table = pl.DataFrame(pl.from_arrow(split.documents().select(["doc_id", "source", "language", "num_tokens"])))
    num = min(table.height, split.num_documents)
    ends = np.array(split.offsets)[: num + 1]
    marks = find(split.stream, end_of_text)
    before = np.searchsorted(marks, ends)
    return table.head(num).select(
        "doc_id",
        "source",
        "language",
        split=pl.lit(split.name),
        num_stream_tokens=pl.Series(np.diff(ends)),
        num_documented_tokens=pl.col("num_tokens"),
        has_true_length=pl.col("num_tokens") == pl.Series(np.diff(ends)),
        ends_with_end_of_text=pl.Series(np.isin(ends[1:] - 1, marks)),
        num_end_of_text=pl.Series(np.diff(before)),
    )


def measure_split(split: TokenSplit, layout: Layout, counts: Counts) -> dict[str, object]:
    """The row of one split; ``counts`` is what ``count_tokens`` gives."""
    table = split.documents()
    known, is_train = counts[: layout.vocabulary_size], split.name == "train"
    num_tokens, marks = len(split.stream), int(counts[layout.end_of_text])
    num_bytes = int(np.sum(table.column("num_bytes").to_numpy(), dtype=np.int64))
    return {
        "split": split.name,
        "num_tokens": num_tokens,
        "num_documents": split.num_documents,
        "num_windows": split.num_windows,
        "is_covered": _is_covered(split, table.num_rows),
        "num_out_of_range": int(counts[-1]),
        "vocabulary_use": float(np.mean(known > 0)) if is_train else None,
        "entropy_bits": entropy_bits(known) if is_train else None,
        "bytes_per_token": num_bytes / max(1, num_tokens - marks),
        "end_of_text_share": marks / max(1, num_tokens),
        "repeated_window_share": repeated_window_share(split),
    }


def count_tokens(stream: Stream, vocabulary_size: int) -> Counts:
    """How often each token occurs; the last place counts those outside the vocabulary.  # [vocabulary_size + 1]"""
    counts = np.zeros(vocabulary_size + 1, dtype=np.int64)
    for _, piece in _pieces(stream):
        counts += np.bincount(np.minimum(piece, vocabulary_size), minlength=vocabulary_size + 1)
    return counts


def find(stream: Stream, token: int) -> npt.NDArray[np.int64]:
    """Where ``token`` stands in the stream, in order."""
    found = [start + np.flatnonzero(piece == token) for start, piece in _pieces(stream)]
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


def entropy_bits(counts: Counts) -> float:
    """Entropy of one draw, in bits; 0 when nothing was counted."""
    shares = counts[counts > 0] / max(1, int(counts.sum()))
    return float(-np.sum(shares * np.log2(shares)))


def repeated_window_share(split: TokenSplit) -> float:
    """Share of the windows whose inputs stood in an earlier one, by a 64-bit multilinear hash of them."""
    num, context = split.num_windows, split.context_tokens
    factors = np.random.default_rng(_HASH_SEED).integers(1, 1 << 63, size=context, dtype=np.uint64) | np.uint64(1)
    step = max(1, _PIECE_TOKENS // context)
    hashes = [
        (split.stream[i * context : min(num, i + step) * context].reshape(-1, context).astype(np.uint64) * factors).sum(
            1
        )
        for i in range(0, num, step)
    ]
    distinct = len(np.unique(np.concatenate(hashes))) if hashes else 0
    return 1 - distinct / num if num else 0.0


def _is_covered(split: TokenSplit, num_rows: int) -> bool:
    offsets = split.offsets
    if len(offsets) == 0:
        return False
    return int(offsets[0]) == 0 and int(offsets[-1]) == len(split.stream) and num_rows == split.num_documents


def _pieces(stream: Stream) -> Iterator[tuple[int, npt.NDArray[np.unsignedinteger]]]:
    for start in range(0, len(stream), _PIECE_TOKENS):
        yield start, np.asarray(stream[start : start + _PIECE_TOKENS])
