"""Encoding one row group: the unit of work of ``pack``.

In: a row group of documents, a tokenizer, what was set aside. Out: for each split the tokens and the rows of its
documents, in files of a scratch folder. In between: nothing but its own row group is known here, so row groups may
be encoded anywhere and in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.core import canaries
from components.core.documents import RowGroup
from components.core.errors import InputError
from components.core.quarantine import read_quarantine
from components.core.scratch import write_table
from components.core.tokens import PACKED_DOCUMENTS, SPLITS
from components.tokenizer.codec import Codec
from components.tokenizer.encoder import Encoder

_COLUMNS = ["doc_id", "text", "source", "language", "split"]


@dataclass(frozen=True)
class Encoding:
    """What all row groups share: places of the inputs, the type of a token, where results go."""

    tokenizer: Path
    checks: Path
    dtype: str
    scratch: Path


@dataclass(frozen=True)
class Piece:
    """A row group, its number, and the canaries (number, copy) that follow some of its rows."""

    number: int
    group: RowGroup
    canaries: Sequence[tuple[int, tuple[int, int]]] = ()


@dataclass(frozen=True)
class Encoded:
    """Where a row group's results lie, by split: tokens as they will stand and rows; and how many were left out."""

    tokens: dict[str, Path]
    documents: dict[str, Path]
    num_quarantined: int


def encode_group(encoding: Encoding, piece: Piece) -> Encoded:
    """Encode a row group. Raises InputError for a split that has no name here."""
    table = piece.group.read(_COLUMNS)
    _check_splits(piece.group, table)
    table = _with_canaries(table, piece)
    is_aside = pc.is_in(table.column("doc_id"), value_set=_quarantined(encoding.checks))
    encoder, found = _encoder(encoding.tokenizer, encoding.dtype), Encoded({}, {}, is_aside.to_pylist().count(True))
    for split in SPLITS:
        documents = table.filter(pc.and_not(pc.equal(table.column("split"), split), is_aside))
        place = encoding.scratch / f"{piece.number:06d}-{split}"
        found.tokens[split], found.documents[split] = place.with_suffix(".tokens"), place.with_suffix(".arrow")
        tokens, ends = encoder.encode(documents.column("text").combine_chunks())
        tokens.astype(tokens.dtype.newbyteorder("<"), copy=False).tofile(found.tokens[split])
        write_table(_rows(documents, np.diff(ends, prepend=0)), found.documents[split])
    return found


def _with_canaries(table: pa.Table, piece: Piece) -> pa.Table:
    """The rows with each canary behind the row that it follows."""
    if not piece.canaries:
        return table
    rows, planted = zip(*piece.canaries, strict=True)
    both = pa.concat_tables([table, canaries.as_documents(list(planted)).cast(table.schema)])
    order = np.argsort(np.concatenate([np.arange(table.num_rows), np.array(rows)]), kind="stable")
    return both.take(order)


def _rows(documents: pa.Table, lengths: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Table:
    num_bytes = pc.binary_length(documents.column("text")).cast(pa.int64())
    named = [documents.column(name) for name in ("doc_id", "source", "language")]
    columns = [*named, num_bytes, pa.array(lengths, pa.int64())]
    return pa.Table.from_arrays(columns, schema=PACKED_DOCUMENTS)


@cache
def _encoder(tokenizer: Path, dtype: str) -> Encoder:
    return Encoder(Codec.load(tokenizer), dtype)


@cache
def _quarantined(checks: Path) -> pa.Array:
    return pa.array(sorted(read_quarantine(checks)), type=pa.string())


def _check_splits(group: RowGroup, table: pa.Table) -> None:
    if odd := sorted(set(pc.unique(table.column("split")).to_pylist()) - set(SPLITS)):
        fix = "this is a fault of preprocess: report it with your params.yaml"
        found, expected = f"a split {odd[0]!r}", f"one of {', '.join(SPLITS)}"
        raise InputError(str(group.shard), found=found, expected=expected, fix=fix)
