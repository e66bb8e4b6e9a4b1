"""Encoding a corpus into token streams, a row group at a time.

In: document shards, a codec. Out: a stream, its offsets and its table of documents for each split.
In between: one row group of texts and one row per document are in memory, never a whole stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from components.core.documents import count_documents, read_row_groups
from components.core.errors import InputError
from components.core.progress import Progress
from components.core.tokens import SPLITS, Layout
from components.pack.writer import SplitWriter
from components.tokenizer.codec import Codec

_VOCABULARY_OF_UINT16 = 65_535


def encode_corpus(corpus: Path, quarantined: frozenset[str], codec: Codec, context_tokens: int, output: Path) -> Layout:
    """Write every split of ``corpus`` without the ``quarantined`` documents. Raises InputError."""
    dtype: Literal["uint16", "uint32"] = "uint16" if codec.vocabulary_size <= _VOCABULARY_OF_UINT16 else "uint32"
    with ExitStack() as stack:
        writers = {name: stack.enter_context(SplitWriter(output, name, dtype)) for name in SPLITS}
        for table in _documents_to_keep(corpus, quarantined):
            _encode(table, codec, writers)
    return Layout(
        vocabulary_size=codec.vocabulary_size,
        context_tokens=context_tokens,
        dtype=dtype,
        end_of_text=codec.end_of_text,
        splits={name: writer.layout(context_tokens) for name, writer in writers.items()},
    )


def _encode(table: pa.Table, codec: Codec, writers: dict[str, SplitWriter]) -> None:
    for name, writer in writers.items():
        documents = table.filter(pc.equal(table.column("split"), name))
        writer.write(documents, codec.encode_all(documents.column("text").to_pylist()), codec.end_of_text)


def _documents_to_keep(corpus: Path, quarantined: frozenset[str]) -> Iterator[pa.Table]:
    """The documents that were not set aside; in the end, all that were set aside must have been seen."""
    seen, values = 0, pa.array(sorted(quarantined), type=pa.string())
    with Progress("encoding", total=count_documents(corpus), unit="documents") as progress:
        for table in read_row_groups(corpus, ["doc_id", "text", "source", "split"]):
            _check_splits(corpus, table)
            is_aside = pc.is_in(table.column("doc_id"), value_set=values)
            seen += pc.sum(is_aside).as_py() or 0
            yield table.filter(pc.invert(is_aside))
            progress.advance(table.num_rows)
    if seen != len(quarantined):
        found = f"{len(quarantined)} quarantined documents, {seen} of them in the corpus"
        raise InputError(str(corpus), found=found, expected="checks of this very corpus", fix="run `pedigree run`")


def _check_splits(corpus: Path, table: pa.Table) -> None:
    if odd := sorted(set(pc.unique(table.column("split")).to_pylist()) - set(SPLITS)):
        fix = "this is a fault of preprocess: report it with your params.yaml"
        raise InputError(str(corpus), found=f"a split {odd[0]!r}", expected=f"one of {', '.join(SPLITS)}", fix=fix)
