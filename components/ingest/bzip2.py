"""A bzip2 file of many streams, several of them expanded at once, as Wikipedia's multistream dumps are made.

In: a file. Out: its plain bytes in order. In between: a stream can only begin where its mark stands, so the file is
cut there and the pieces are expanded side by side; a mark that stands inside a stream by chance only costs time,
since whether a stream has ended is decided by bzip2 itself. Memory holds a few pieces, whatever they expand to.
"""

from __future__ import annotations

import bz2
import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, NamedTuple

# The head of a stream of blocks of 900 kB and that of its first block; others are read one after the other.
_MARK = b"BZh91AY&SY"
_READ_BYTES, _PIECE_BYTES, _PLAIN_BYTES = 1 << 20, 4 << 20, 32 << 20

_Feeding = Generator[bytes, None, bz2.BZ2Decompressor | None]


class _Expanded(NamedTuple):
    plain: bytes
    decompressor: bz2.BZ2Decompressor


def read_streams(file: BinaryIO) -> Iterator[bytes]:
    """The plain bytes of every stream. Raises OSError for damage and EOFError for a file that ends too early."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    decompressor: bz2.BZ2Decompressor | None = None
    with ThreadPoolExecutor(threads) as pool:
        for piece, expanding in _side_by_side(pool, file, threads + 1):
            if decompressor is None and expanding is not None:
                plain, decompressor = expanding.result()
                yield plain
                decompressor = yield from _drain(decompressor)
            else:
                decompressor = yield from _continue(decompressor, piece)
    if decompressor is not None:
        raise EOFError("the file ends inside a bzip2 stream")


def _side_by_side(
    pool: ThreadPoolExecutor, file: BinaryIO, ahead: int
) -> Iterator[tuple[bytes, Future[_Expanded] | None]]:
    """The pieces in order, the next few of those that begin a stream being expanded already."""
    waiting: deque[tuple[bytes, Future[_Expanded] | None]] = deque()
    for piece in _cut(file):
        waiting.append((piece, pool.submit(_expand, piece) if piece.startswith(_MARK) else None))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def _cut(file: BinaryIO) -> Iterator[bytes]:
    """The file in pieces that end where a mark stands, or after 4 MiB without one."""
    buffer, searched = bytearray(), 1
    while data := file.read(_READ_BYTES):
        buffer += data
        while (place := buffer.find(_MARK, searched)) > 0 or len(buffer) > _PIECE_BYTES:
            end = place if place > 0 else len(buffer) - len(_MARK)
            yield bytes(buffer[:end])
            del buffer[:end]
            searched = 1
        searched = max(1, len(buffer) - len(_MARK))
    if buffer:
        yield bytes(buffer)


def _expand(piece: bytes) -> _Expanded:
    decompressor = bz2.BZ2Decompressor()
    return _Expanded(decompressor.decompress(piece, _PLAIN_BYTES), decompressor)


def _continue(decompressor: bz2.BZ2Decompressor | None, piece: bytes) -> _Feeding:
    """Feed a piece to the stream that is open, or begin one with it."""
    decompressor = decompressor or bz2.BZ2Decompressor()
    yield decompressor.decompress(piece, _PLAIN_BYTES)
    return (yield from _drain(decompressor))


def _drain(decompressor: bz2.BZ2Decompressor) -> _Feeding:
    """The rest of what was fed; returns the decompressor if its stream is still open, else None."""
    while True:
        while not decompressor.eof and not decompressor.needs_input:
            yield decompressor.decompress(b"", _PLAIN_BYTES)
        if not decompressor.eof:
            return decompressor
        if not (rest := decompressor.unused_data):
            return None
        decompressor = bz2.BZ2Decompressor()
        yield decompressor.decompress(rest, _PLAIN_BYTES)
