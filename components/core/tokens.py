"""Packed tokens as every room meets them: one stream per split, cut into windows, with a way back to documents.

In: the folder of the pack stage. Out: windows of token numbers, and which documents each window shows.
In between: a split's stream is its documents one after the other, each followed by end of text. Window i is
``stream[i * T : i * T + T + 1]`` for a context of T tokens: T inputs and, one further, T targets. Neighbouring
windows share one token, so every token but the first is a target exactly once, up to the last whole window.
Files are memory-mapped; nothing is read before it is asked for. The record of the folder holds the digest of each.

    layout.json           the numbers of class Layout
    S-00000.tokens.npy …  the stream of split S: uint16 or uint32, little-endian     [shard_tokens], the last less
    S.offsets.npy         where each document starts in it, and where the last ends  [num_documents + 1] int64
    S.documents.parquet   of each document: doc_id, source, language (null where unknown), num_bytes (UTF-8),
                          num_tokens (with end of text)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.core.errors import InputError

LAYOUT = "layout.json"
SPLITS = ("train", "validation", "test")
Tokens = npt.NDArray[np.unsignedinteger]
PACKED_DOCUMENTS = pa.schema([
    pa.field("doc_id", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("language", pa.string()),
    pa.field("num_bytes", pa.int64(), nullable=False),
    pa.field("num_tokens", pa.int64(), nullable=False),
])  # fmt: skip


class SplitLayout(BaseModel):
    """How much a split holds."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    tokens: int = Field(ge=0)
    documents: int = Field(ge=0)
    windows: int = Field(ge=0)


class Layout(BaseModel):
    """What the folder of the pack stage holds: every token number is below ``vocabulary_size``.

    ``canaries`` of ``components.core.canaries`` stand in the training split, in no source.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    vocabulary_size: int = Field(ge=1)
    context_tokens: int = Field(ge=1)
    shard_tokens: int = Field(ge=1)
    dtype: Literal["uint16", "uint32"]
    end_of_text: int = Field(ge=0)
    canaries: int = Field(default=0, ge=0)
    splits: dict[str, SplitLayout]


def read_layout(folder: Path) -> Layout:
    """The layout of a folder of packed tokens. Raises InputError."""
    path = folder / LAYOUT
    try:
        return Layout.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _refuse(path, str(error).splitlines()[0], "the layout of packed tokens") from None


def count_windows(num_tokens: int, context_tokens: int) -> int:
    """How many whole windows a stream holds; the tokens after the last are in no window."""
    return max(0, num_tokens - 1) // context_tokens


def shard_name(split: str, number: int) -> str:
    """The file name of a shard of a split's stream."""
    return f"{split}-{number:05d}.tokens.npy"


@dataclass(frozen=True)
class Stream:
    """Shards, each memory-mapped, as one sequence of tokens; all but the last hold ``shard_tokens``."""

    shards: tuple[Tokens, ...]
    shard_tokens: int

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The type of a token."""
        return self.shards[0].dtype

    def __getitem__(self, places: slice) -> Tokens:
        """Neighbouring tokens: a view where they lie in one shard, a copy where they do not."""
        start, stop, _ = places.indices(len(self))
        numbers = range(start // self.shard_tokens, max(start, stop - 1) // self.shard_tokens + 1)
        firsts = [number * self.shard_tokens for number in numbers]
        parts = [
            self.shards[number][max(start - first, 0) : max(stop - first, 0)]
            for number, first in zip(numbers, firsts, strict=True)
            if number < len(self.shards)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([self.shards[0][:0], *parts])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self[:], dtype=dtype, copy=copy)


@dataclass(frozen=True)
class TokenSplit:
    """One split of packed tokens, opened by ``TokenSplit.open``.

    Attributes:
        context_tokens: T, the number of inputs of a window.
        stream: all tokens.  # [num_tokens]
        offsets: document d is ``stream[offsets[d]:offsets[d + 1]]``.  # [num_documents + 1]
    """

    folder: Path
    name: str
    context_tokens: int
    stream: Stream
    offsets: npt.NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path, name: str) -> TokenSplit:
        """Map the split ``name`` of ``folder``. Raises InputError when its files contradict the layout."""
        layout = read_layout(folder)
        if name not in layout.splits:
            raise _refuse(folder / LAYOUT, f"no split {name}", f"one of {', '.join(sorted(layout.splits))}")
        split = cls(
            folder=folder,
            name=name,
            context_tokens=layout.context_tokens,
            stream=_map_stream(folder, name, layout),
            offsets=_map(folder / f"{name}.offsets.npy", np.dtype(np.int64)),
        )
        _check(split, layout.splits[name])
        return split

    @property
    def num_documents(self) -> int:
        """How many documents the stream holds."""
        return len(self.offsets) - 1

    @property
    def num_windows(self) -> int:
        """How many whole windows the stream holds."""
        return count_windows(len(self.stream), self.context_tokens)

    def documents(self) -> pa.Table:
        """The table of the documents, in the order of the stream: columns of ``PACKED_DOCUMENTS``."""
        return pq.read_table(self.folder / f"{self.name}.documents.parquet")

    def document(self, position: int) -> Tokens:
        """The tokens of a document with its end of text.  # [num_tokens of the document]"""
        return self.stream[self.offsets[position] : self.offsets[position + 1]]

    def windows(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """The windows at ``positions``. Raises IndexError for one that is not there.  # [len(positions), T + 1]"""
        if len(positions) and not 0 <= positions.min() <= positions.max() < self.num_windows:
            raise IndexError(f"windows {positions.min()} to {positions.max()} of {self.num_windows}")
        firsts = (positions * self.context_tokens).tolist()
        windows = np.empty((len(firsts), self.context_tokens + 1), np.int32)
        for row, first in enumerate(firsts):
            windows[row] = self.stream[first : first + self.context_tokens + 1]
        return windows

    def owners(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The document of each token of the windows at ``positions``: where attention must not look across.

        # [len(positions), T + 1]
        """
        places = positions[:, None] * self.context_tokens + np.arange(self.context_tokens + 1)
        owners: npt.NDArray[np.int64] = np.searchsorted(self.offsets, places, side="right") - 1
        return owners

    def documents_of(self, window: int) -> range:
        """The positions of the documents of which a window shows at least one token, as input or target."""
        first = window * self.context_tokens
        ends = np.searchsorted(self.offsets, [first, first + self.context_tokens], side="right")
        return range(int(ends[0]) - 1, int(ends[1]))

    def windows_of(self, document: int) -> range:
        """The windows that show at least one token of a document; none for one beyond the last whole window."""
        first, end = int(self.offsets[document]), int(self.offsets[document + 1])
        start = max(0, -(-first // self.context_tokens) - 1)
        return range(start, min(self.num_windows, (end - 1) // self.context_tokens + 1))


def _map_stream(folder: Path, name: str, layout: Layout) -> Stream:
    num = max(1, -(-layout.splits[name].tokens // layout.shard_tokens))
    shards = [_map(folder / shard_name(name, number), np.dtype(layout.dtype)) for number in range(num)]
    for number, shard in enumerate(shards[:-1]):
        if len(shard) != layout.shard_tokens:
            raise _refuse(
                folder / shard_name(name, number), f"{len(shard)} tokens", f"{layout.shard_tokens}, a whole shard"
            )
    return Stream(tuple(shards), layout.shard_tokens)


def _map(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _refuse(path, str(error), f"a NumPy array of {dtype}") from None
    if array.ndim != 1 or array.dtype != dtype.newbyteorder("<"):
        raise _refuse(path, f"{array.dtype} of shape {array.shape}", f"{dtype} in one dimension, little-endian")
    return array


def _check(split: TokenSplit, layout: SplitLayout) -> None:
    found = SplitLayout(tokens=len(split.stream), documents=split.num_documents, windows=split.num_windows)
    if found != layout:
        raise _refuse(split.folder / LAYOUT, f"{split.name}: {layout!r}", f"{found!r}, as the files hold")


def _refuse(path: Path, found: str, expected: str) -> InputError:
    fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
    return InputError(str(path), found=found, expected=expected, fix=fix)
