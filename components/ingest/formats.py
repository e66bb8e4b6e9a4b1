"""The formats of files, and opening them without trusting what they expand to.

In: a name such as ``notes.jsonl.zst`` and a seekable file. Out: its format, and a stream of its plain bytes, UTF-8
where the format is text. In between: a compressed file never gives more than the bytes that it was granted, a
piece at a time, and a file that ends too early is an error and not a shorter file.

Not covered: the dictionary that an .xz file asks for (at most 4 GiB by its format).
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, BinaryIO, Protocol

from components.ingest.bzip2 import read_streams

TEXTS, ARCHIVES = (".txt", ".md", ".jsonl", ".csv", ".xml"), (".zip", ".tar")
FORMATS = (*TEXTS, ".parquet", ".html", ".warc", ".wet", *ARCHIVES)
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
MAGICS = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\0", ".zst": b"\x28\xb5\x2f\xfd", ".zip": b"PK",
          ".parquet": b"PAR1"}  # fmt: skip
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_ALIASES = {".markdown": ".md", ".htm": ".html", ".tgz": ".tar"}
_PIECE_BYTES = 1 << 20
# Longer marks first: that of UTF-32 begins with that of UTF-16. Without a mark, the first character of XML tells.
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
          (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"), (b"<\0", "utf-16-le"),
          (b"\0<", "utf-16-be"))  # fmt: skip


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ExpandsTooFarError(OSError):
    """A compressed file holds more than it was granted."""


def split_suffixes(name: str) -> tuple[str, str]:
    """The format and the compression of a file name: ``a.jsonl.gz`` gives (".jsonl", ".gz"), ``a.txt`` (".txt", "").

    Parts of a Wikipedia dump (``….xml-p1p41242.bz2``) are ``.xml``.
    """
    pure = PurePath(name)
    compression = pure.suffix if pure.suffix in _COMPRESSIONS else ".gz" if pure.suffix == ".tgz" else ""
    suffix = PurePath(pure.stem).suffix if pure.suffix in _COMPRESSIONS else pure.suffix
    suffix = ".xml" if suffix.startswith(".xml-p") else suffix
    return _ALIASES.get(suffix, suffix), compression


def is_known(name: str) -> bool:
    """Whether files of this name can be read."""
    return split_suffixes(name)[0] in FORMATS


def magic_of(name: str) -> bytes:
    """The bytes that a file of this name begins with; empty where its format has none."""
    suffix, compression = split_suffixes(name)
    return MAGICS.get(compression or suffix, b"")


def open_plain(file: BinaryIO, name: str, max_expanded_bytes: int) -> BinaryIO:
    """The plain bytes of ``file``, buffered; reading raises ExpandsTooFarError past ``max_expanded_bytes``.

    A damaged or shortened compressed file raises one of DAMAGE while it is read, maybe after some wrong bytes.
    """
    file.seek(0)
    suffix, compression = split_suffixes(name)
    if not compression and suffix not in TEXTS:
        return file
    granted = max_expanded_bytes if compression else sys.maxsize
    stream = io.BufferedReader(Meter(_decompress(file, compression), granted), _PIECE_BYTES)
    return as_utf8(stream) if suffix in TEXTS else stream


def as_utf8(stream: io.BufferedReader[Any]) -> BinaryIO:
    """The same text in UTF-8 without a mark, where ``stream`` begins as UTF-16 or UTF-32 do; else ``stream`` itself.

    What is no valid UTF-16 raises UnicodeDecodeError while it is read.
    """
    start = stream.peek(4)[:4]
    encoding = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if encoding == "utf-8-sig":
        stream.read(len(codecs.BOM_UTF8))
        return stream
    return io.BufferedReader(PieceReader(_recode(stream, encoding)), _PIECE_BYTES) if encoding else stream


def _recode(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    while data := stream.read(_PIECE_BYTES):
        yield decoder.decode(data).encode()
    yield decoder.decode(b"", final=True).encode()


def find_damage(file: BinaryIO, name: str, max_expanded_bytes: int) -> tuple[str, str] | None:
    """Why a compressed file is not to be trusted, as (reason, detail), or None.

    Reads all of it: checksums stand at the end, and until there a flipped bit passes for text. Only .bz2 is not
    read twice, since it is slow and carries a checksum in every block of 900 kB.
    """
    if split_suffixes(name)[1] in ("", ".bz2"):
        return None
    try:
        stream = open_plain(file, name, max_expanded_bytes)
        while stream.read(_PIECE_BYTES):
            pass
    except ExpandsTooFarError as error:
        return "too_large", str(error)
    except UnicodeDecodeError:
        return None  # no damage: who reads it tells where
    except DAMAGE as error:
        raise_if_of_machine(error)
        return "unreadable", str(error)
    return None


def raise_if_of_machine(error: Exception) -> None:
    """Raise what the system reports (a full disk, a broken one): that is no fault of the file's content."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _decompress(file: BinaryIO, compression: str) -> _Readable:
    if compression == ".gz":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if compression == ".bz2":
        return PieceReader(read_streams(file))
    if compression == ".xz":
        return lzma.LZMAFile(file, "rb")
    if compression == ".zst":
        # Arrow and not the library `zstandard`, whose stream reader takes a shortened file for a whole one.
        import pyarrow

        stream: _Readable = pyarrow.CompressedInputStream(pyarrow.PythonFile(_Borrowed(file), "r"), "zstd")
        return stream
    return file


class _Borrowed:
    """A file that whoever reads it may not close, as Arrow does with what it is given."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read

    def close(self) -> None: ...


class PieceReader(io.RawIOBase):
    """A stream out of pieces of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class Meter(io.RawIOBase):
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
