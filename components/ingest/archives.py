"""The files inside .zip and .tar, one at a time and never written under a name of theirs.

In: an archive. Out: each member's full name with a seekable copy of its content, or the item that says why it has
none. In between: no name of an archive ever reaches the file system; all members together may expand to what one
compressed file may, and what is of no known format or an archive itself is not expanded at all.
"""

from __future__ import annotations

import io
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, BinaryIO, NamedTuple, Self, cast

from components.ingest.formats import ARCHIVES, Meter, is_known, split_suffixes
from components.ingest.items import NOT_TEXT, Item
from components.ingest.limits import Limits

_IN_MEMORY_BYTES, _PIECE_BYTES = 16 << 20, 1 << 20
_HEADER_BYTES = 1 << 16
_ENCRYPTED = 0x1
_FAULTS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, NotImplementedError)


class _Member(NamedTuple):
    """A name in an archive, and its content or the reason why it is not read."""

    name: str
    content: IO[bytes] | None
    problem: str = ""


def read_members(file: BinaryIO, name: str, limits: Limits) -> Iterator[tuple[str, IO[bytes] | Item]]:
    """Every member that is not a folder, in the order of the archive. Raises OSError for a damaged archive."""
    seen: set[str] = set()
    left = limits.max_expanded_bytes
    try:
        for member in (_zip_members if split_suffixes(name)[0] == ".zip" else _tar_members)(file):
            position = f"{name}/{member.name}" + (f"~{len(seen)}" if member.name in seen else "")
            refused = _refuse(position, member, seen)
            seen.add(member.name)
            content = refused or _copy(cast("IO[bytes]", member.content), left)
            left -= content.seek(0, io.SEEK_END) if not isinstance(content, Item) else 0
            yield position, content
    except _FAULTS as error:
        raise OSError(f"{type(error).__name__}: {error}") from None


def _zip_members(file: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                yield _Member(info.filename, None, "a link or a device")
            elif info.flag_bits & _ENCRYPTED:
                yield _Member(info.filename, None, "encrypted")
            else:
                with archive.open(info) as content:
                    yield _Member(info.filename, content)


def _tar_members(file: BinaryIO) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode="r|", tarinfo=_StrictTarInfo) as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep the headers of all that went by
            if info.isdir():
                continue
            if info.isreg() and not info.issparse() and (content := archive.extractfile(info)):
                yield _Member(info.name, content)
            else:
                yield _Member(info.name, None, "a link, a device or a file with holes")


class _StrictTarInfo(tarfile.TarInfo):
    """A header that is refused where `tarfile` would stop in silence, or read a name of a gigabyte."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ in ("EOFHeaderError", "EmptyHeaderError"):
                raise
            raise OSError(f"a damaged header: {error}") from None

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        extended = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
        if self.type in extended and self.size > _HEADER_BYTES:
            raise OSError(f"a header of {self.size:,} bytes")
        member: tarfile.TarInfo | None = super()._proc_member(archive)  # type: ignore[misc]
        return member


def _refuse(position: str, member: _Member, seen: set[str]) -> Item | None:
    """Why a member is not even expanded; None for one that is read."""
    if problem := member.problem or _name_problem(member.name, seen):
        return Item(position, "", reason="unsafe_member", detail=problem)
    if not is_known(position):
        return Item(position, "", reason=NOT_TEXT, detail="of no known format")
    if split_suffixes(position)[0] in ARCHIVES:
        return Item(position, "", reason="nested_archive", detail="an archive inside an archive is not opened")
    return None


def _name_problem(inner: str, seen: set[str]) -> str:
    """What is wrong with the name of a member; an empty text for a good one."""
    if inner in seen:
        return "a second member of this name"
    if PurePosixPath(inner).is_absolute() or PureWindowsPath(inner).drive or inner.startswith("\\"):
        return "an absolute name"
    if ".." in inner.replace("\\", "/").split("/"):
        return "a name that leads out of the archive"
    return "" if inner.isprintable() else "a name with control characters"


def _copy(content: IO[bytes], granted_bytes: int) -> IO[bytes]:
    """All of a member in a seekable file without a name, so that its checksum is known before it is read."""
    copy = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - closed when nobody refers to it
    metered = Meter(content, granted_bytes)
    buffer = memoryview(bytearray(_PIECE_BYTES))
    while count := metered.readinto(buffer):
        copy.write(buffer[:count])
    return copy
