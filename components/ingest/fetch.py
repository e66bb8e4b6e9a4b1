"""Files elsewhere: finding them, pinning them, and having them here when they are read.

In: addresses (``https://…``, ``s3://…``) and their pins. Out: pins, and files in the cache. In between: what is pinned
was fetched whole and hashed; what is fetched for a pin must have its digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from components.ingest import http, s3
from components.ingest.cache import Cache
from components.ingest.config import SourceFiles
from components.ingest.formats import magic_of
from components.ingest.lock import REFRESH, FilePin, is_remote
from components.ingest.transfer import Version, refuse

_S3 = "s3://"


def pin_remote(
    pattern: str, source: SourceFiles, cache: Cache, known: Iterable[FilePin]
) -> Iterator[tuple[str, FilePin]]:
    """The pin of every file that ``pattern`` names, by its address. Files that are as a known pin says stay there.

    Raises SourceError.
    """
    pins = {pin.path: pin for pin in known}
    if not pattern.startswith(_S3):
        yield pattern, _pin_web(pattern, cache, pins.get(pattern))
        return
    client, num_fixed = s3.open_client(source), len(_fixed_part(pattern))
    for version in s3.list_versions(client, pattern):
        pin = pins.get(version.address)
        if pin is None or (pin.etag, pin.bytes) != (version.etag, version.bytes):
            partial = s3.download(client, version, cache)
            pin = _pin(version.address, version.address[num_fixed:], partial, version.etag, cache)
        yield version.address, pin


def _pin_web(address: str, cache: Cache, known: FilePin | None) -> FilePin:
    version = Version(address, known.bytes, known.etag) if known else None
    arrived = http.download(address, cache, version, only_if_changed=True)
    if arrived is None and known is not None:
        return known
    if arrived is None:
        raise refuse(address, "no file", "the file", "run it again")
    return _pin(address, http.file_name(address), arrived.partial, arrived.etag, cache)


def _pin(address: str, name: str, partial: Path, etag: str | None, cache: Cache) -> FilePin:
    with partial.open("rb") as file:
        magic = magic_of(name)
        if (start := file.read(len(magic))) != magic:
            raise refuse(address, f"a file that begins with {start!r}", f"{magic!r}, as its name says",
                         "look at what lies there; it may be a page that tells of an error")  # fmt: skip
    sha256, num_bytes = cache.adopt(partial)
    return FilePin(path=address, name=name, bytes=num_bytes, sha256=sha256, etag=etag)


def bring(source: SourceFiles, pins: Iterable[FilePin], root: Path) -> None:
    """Have every pinned file of a source here. Raises SourceError for one that is no longer what was pinned."""
    cache = Cache(root)
    for pin in pins:
        if is_remote(pin.path) and not cache.holds(pin.sha256, pin.bytes):
            _bring_one(source, pin, cache)


def _bring_one(source: SourceFiles, pin: FilePin, cache: Cache) -> None:
    version = Version(pin.path, pin.bytes, pin.etag)
    if pin.path.startswith(_S3):
        partial = s3.download(s3.open_client(source), version, cache)
    else:
        arrived = http.download(pin.path, cache, version, only_if_changed=False)
        partial = arrived.partial if arrived else cache.partial(pin.path, None)
    sha256, num_bytes = cache.adopt(partial)
    if sha256 != pin.sha256:
        cache.drop(sha256)
        found, expected = f"{num_bytes:,} bytes, sha256 {sha256}", f"{pin.bytes:,} bytes, sha256 {pin.sha256}"
        raise refuse(pin.path, found, expected, f"to take what is there now, {REFRESH}")


def _fixed_part(pattern: str) -> str:
    """The folder of ``pattern`` up to the first part that is a glob."""
    parts = pattern.split("/")[:-1]
    fixed = next((number for number, part in enumerate(parts) if any(mark in part for mark in "*?[")), len(parts))
    return "/".join([*parts[:fixed], ""])
