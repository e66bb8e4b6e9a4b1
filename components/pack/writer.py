"""The files of one split, written as its documents come.

In: documents and their tokens. Out: ``S.tokens.npy``, ``S.offsets.npy``, ``S.documents.parquet``.
In between: tokens go straight to the disk; the header of the stream, which tells its length, is written again at
the end, into the room that NumPy's format keeps for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.tokens import PACKED_DOCUMENTS, SplitLayout, count_windows

_ROW_GROUP_ROWS = 100_000


class SplitWriter:
    """Writes one split into ``folder``; its files are complete when the ``with`` block ends."""

    def __init__(self, folder: Path, name: str, dtype: str) -> None:
        self._folder, self._name, self._dtype = folder, name, np.dtype(dtype).newbyteorder("<")
        self._lengths: list[int] = []
        self._tables: list[pa.Table] = [PACKED_DOCUMENTS.empty_table()]

    def write(self, documents: pa.Table, tokens: Sequence[npt.NDArray[np.unsignedinteger]], end_of_text: int) -> None:
        """Append documents; ``tokens`` holds those of each, to which ``end_of_text`` is added."""
        for sequence in tokens:
            self._stream.write(np.append(sequence, end_of_text).astype(self._dtype).tobytes())
        lengths = [len(sequence) + 1 for sequence in tokens]
        num_bytes = pc.binary_length(documents.column("text")).cast(pa.int64())
        columns = [documents.column("doc_id"), documents.column("source"), num_bytes, pa.array(lengths, pa.int64())]
        self._lengths += lengths
        self._tables.append(pa.Table.from_arrays(columns, schema=PACKED_DOCUMENTS))

    def layout(self, context_tokens: int) -> SplitLayout:
        """How much was written."""
        num_tokens = sum(self._lengths)
        windows = count_windows(num_tokens, context_tokens)
        return SplitLayout(tokens=num_tokens, documents=len(self._lengths), windows=windows)

    def __enter__(self) -> Self:
        self._stream = self._path("tokens.npy").open("wb")
        self._write_header(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        with self._stream:
            if kind is None:
                self._write_header(sum(self._lengths))
                self._write_index()

    def _write_header(self, num_tokens: int) -> None:
        self._stream.seek(0)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (num_tokens,)}
        np.lib.format.write_array_header_1_0(self._stream, header)

    def _write_index(self) -> None:
        offsets = np.concatenate([[0], np.cumsum(self._lengths, dtype=np.int64)]).astype("<i8")
        np.save(self._path("offsets.npy"), offsets, allow_pickle=False)
        table = pa.concat_tables(self._tables).combine_chunks()
        path = self._path("documents.parquet")
        pq.write_table(table, path, compression="zstd", row_group_size=_ROW_GROUP_ROWS, use_dictionary=["source"])

    def _path(self, kind: str) -> Path:
        return self._folder / f"{self._name}.{kind}"
