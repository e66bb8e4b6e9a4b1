"""From encoded row groups to the streams of the splits.

In: a corpus, its checks and a tokenizer. Out: the files of each split and their layout. In between: workers encode row
groups, this process appends them in the order of the corpus; memory holds one offset per document.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from components.core.crew import Crew
from components.core.documents import RowGroup, list_row_groups
from components.core.errors import InputError
from components.core.parallel import Workers
from components.core.quarantine import read_quarantine
from components.core.scratch import read_table
from components.core.tokens import SPLITS, Layout
from components.pack.config import PackConfig
from components.pack.encoding import Encoded, Encoding, Piece, encode_group
from components.pack.writer import SplitWriter
from components.tokenizer.codec import Codec

Rows = npt.NDArray[np.int64]
_VOCABULARY_OF_UINT16 = 65_535


def write_streams(
    config: PackConfig, corpus: Path, checks: Path, tokenizer: Path, output: Path, scratch: Path, crew: Crew
) -> tuple[Layout, int]:
    """Write every split of ``corpus`` without the quarantined documents; returns the layout and how many those are."""
    codec, num_quarantined, seen = Codec.load(tokenizer), len(read_quarantine(checks)), 0
    dtype: Literal["uint16", "uint32"] = "uint16" if codec.vocabulary_size <= _VOCABULARY_OF_UINT16 else "uint32"
    encoding = Encoding(tokenizer, checks, dtype, scratch)
    with ExitStack() as stack:
        writers = {s: stack.enter_context(SplitWriter(output, s, dtype, config.shard_tokens)) for s in SPLITS}
        workers = stack.enter_context(Workers(crew))
        for encoded in workers.map(encode_group, encoding, list(_pieces(config, corpus)), "encoding"):
            _append(encoded, writers)
            seen += encoded.num_quarantined
    if seen != num_quarantined:
        found = f"{num_quarantined} quarantined documents, {seen} of them in the corpus"
        raise InputError(str(corpus), found=found, expected="checks of this very corpus", fix="run `pedigree run`")
    layout = Layout(
        vocabulary_size=codec.vocabulary_size, context_tokens=config.context_tokens, shard_tokens=config.shard_tokens,
        dtype=dtype, end_of_text=codec.end_of_text, canaries=config.canaries,
        splits={name: writer.layout(config.context_tokens) for name, writer in writers.items()},
    )  # fmt: skip
    return layout, num_quarantined


def _pieces(config: PackConfig, corpus: Path) -> Iterator[Piece]:
    """The row groups, and the canaries evenly spread over the training documents, the copies of one far apart."""
    copies = [(number, copy) for copy in range(config.canary_copies) for number in range(config.canaries)]
    groups = list_row_groups(corpus)
    rows = [_training_rows(group) for group in groups] if copies else [np.zeros(0, np.int64)] * len(groups)
    places = np.arange(len(copies)) * sum(map(len, rows)) // max(1, len(copies))
    begin = 0
    for number, (group, own) in enumerate(zip(groups, rows, strict=True)):
        first, end = np.searchsorted(places, [begin, begin + len(own)])
        follow = own[places[first:end] - begin].tolist()
        yield Piece(number, group, tuple(zip(follow, copies[first:end], strict=True)))
        begin += len(own)


def _training_rows(group: RowGroup) -> Rows:
    is_training = pc.equal(group.read(["split"]).column("split"), "train")
    return np.flatnonzero(is_training.to_numpy())


def _append(encoded: Encoded, writers: dict[str, SplitWriter]) -> None:
    for split, writer in writers.items():
        with encoded.tokens[split].open("rb") as tokens:
            writer.write(tokens, read_table(encoded.documents[split]))
        encoded.tokens[split].unlink()
        encoded.documents[split].unlink()
