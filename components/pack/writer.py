"""The files of one split, written as its documents come.

In: tokens as they will stand and rows of documents, in the order of the corpus. Out: ``S-00000.tokens.npy`` …,
``S.offsets.npy``, ``S.documents.parquet``. In between: tokens go straight from file to file; the header of a shard,
which tells its length, is written again at its end, into the room that NumPy's format keeps for it.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.tokens import PACKED_DOCUMENTS, SplitLayout, count_windows, shard_name

_ROW_GROUP_ROWS = 100_000
_PIECE_TOKENS = 1 << 22


class SplitWriter:
    """Writes one split into ``folder``; its files are complete when the ``with`` block ends."""

    def __init__(self, folder: Path, name: str, dtype: str, shard_tokens: int) -> None:
        self._folder, self._name, self._dtype = folder, name, np.dtype(dtype).newbyteorder("<")
        self._shard_tokens, self._num_tokens, self._written = shard_tokens, 0, 0
        self._lengths: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        self._waiting: pa.Table = PACKED_DOCUMENTS.empty_table()

    def write(self, tokens: BinaryIO, documents: pa.Table) -> None:
        """Append documents (columns of ``PACKED_DOCUMENTS``) and all their tokens, little-endian, ends of text too."""
        while part := tokens.read(self._dtype.itemsize * min(self._room or self._shard_tokens, _PIECE_TOKENS)):
            self._append(part)
        self._lengths.append(documents.column("num_tokens").to_numpy())
        self._waiting = pa.concat_tables([self._waiting, documents])
        while self._waiting.num_rows >= _ROW_GROUP_ROWS:
            self._write_rows(_ROW_GROUP_ROWS)

    def layout(self, context_tokens: int) -> SplitLayout:
        """How much was written."""
        windows, documents = count_windows(self._num_tokens, context_tokens), sum(map(len, self._lengths))
        return SplitLayout(tokens=self._num_tokens, documents=documents, windows=windows)

    def __enter__(self) -> Self:
        path = self._folder / f"{self._name}.documents.parquet"
        self._rows = pq.ParquetWriter(path, PACKED_DOCUMENTS, compression="zstd", use_dictionary=["source", "language"])
        self._shard = self._open_shard()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        with self._rows, self._shard:
            if kind is None:
                self._write_header()
                self._write_rows(self._waiting.num_rows)
                self._write_offsets()

    @property
    def _room(self) -> int:
        """How many tokens the shard still takes."""
        return self._shard_tokens - self._written

    def _append(self, part: bytes) -> None:
        if not self._room:
            self._write_header()
            self._shard.close()
            self._shard = self._open_shard()
        self._shard.write(part)
        num = len(part) // self._dtype.itemsize
        self._num_tokens, self._written = self._num_tokens + num, self._written + num

    def _open_shard(self) -> IO[bytes]:
        number, self._written = self._num_tokens // self._shard_tokens, 0
        self._shard = (self._folder / shard_name(self._name, number)).open("wb")
        self._write_header()
        return self._shard

    def _write_header(self) -> None:
        self._shard.seek(0)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._written,)}
        np.lib.format.write_array_header_1_0(self._shard, header)

    def _write_rows(self, num_rows: int) -> None:
        self._rows.write_table(self._waiting.slice(0, num_rows).combine_chunks(), row_group_size=_ROW_GROUP_ROWS)
        self._waiting = self._waiting.slice(num_rows)

    def _write_offsets(self) -> None:
        lengths = np.concatenate([np.empty(0, np.int64), *self._lengths])
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype("<i8")
        np.save(self._folder / f"{self._name}.offsets.npy", offsets, allow_pickle=False)
