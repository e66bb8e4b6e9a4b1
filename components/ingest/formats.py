"""The formats of local files, and opening them without trusting what they expand to.

In: a path such as ``notes.jsonl.zst``. Out: its format, and a stream of its plain bytes. In between: a
compressed file never gives more than the bytes that it was granted, a piece at a time, and a file that ends too
early is an error and not a shorter file.

Not covered: the dictionary that an .xz file asks for (at most 4 GiB by its format).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path, PurePath
from typing import BinaryIO, Protocol

FORMATS = (".txt", ".jsonl", ".parquet")
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_PIECE_BYTES = 1 << 20


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class ExpandsTooFarError(OSError):
    """A compressed file holds more than it was granted."""


def split_suffixes(path: str) -> tuple[str, str]:
    """The format and the compression of a file name: ``a.jsonl.gz`` gives (".jsonl", ".gz"), ``a.txt`` (".txt", "")."""
    pure = PurePath(path)
    if pure.suffix in _COMPRESSIONS:
        return PurePath(pure.stem).suffix, pure.suffix
    return pure.suffix, ""


def open_plain(path: Path, max_expanded_bytes: int) -> BinaryIO:
    """The plain bytes of a file, buffered; reading raises ExpandsTooFarError past ``max_expanded_bytes``.

    A damaged or shortened compressed file raises one of DAMAGE while it is read, maybe after some wrong bytes.
    """
    compression = split_suffixes(path.name)[1]
    if not compression:
        return path.open("rb")
    return io.BufferedReader(_Meter(_decompress(path, compression), max_expanded_bytes))


def find_damage(path: Path, max_expanded_bytes: int) -> tuple[str, str] | None:
    """Why a compressed file is not to be trusted, as (reason, detail), or None for a good or an uncompressed one.

    Reads all of it: checksums stand at the end, and until there a flipped bit passes for text.
    """
    if not split_suffixes(path.name)[1]:
        return None
    try:
        with open_plain(path, max_expanded_bytes) as stream:
            while stream.read(_PIECE_BYTES):
                pass
    except ExpandsTooFarError as error:
        return "too_large", str(error)
    except DAMAGE as error:
        raise_if_of_machine(error)
        return "unreadable", str(error)
    return None


def raise_if_of_machine(error: Exception) -> None:
    """Raise what the system reports (a full disk, a broken one): that is no fault of the file's content."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _decompress(path: Path, compression: str) -> _Readable:
    if compression == ".gz":
        return gzip.open(path, "rb")
    if compression == ".bz2":
        return bz2.open(path, "rb")
    if compression == ".xz":
        return lzma.open(path, "rb")
    # Arrow and not the library `zstandard`, whose stream reader takes a shortened file for a whole one.
    import pyarrow

    stream: _Readable = pyarrow.input_stream(str(path), compression="zstd")
    return stream


class _Meter(io.RawIOBase):
    """Passes bytes on until they are more than was granted."""

    def __init__(self, stream: _Readable, granted_bytes: int) -> None:
        self._stream, self._granted, self._left = stream, granted_bytes, granted_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise ExpandsTooFarError(f"expands to more than {self._granted:,} bytes")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
