"""Files that appear whole or not at all, and their digests.

In: bytes, objects, scratch folders. Out: files and folders under their final names.
In between: whatever has a final name is complete, flushed to the disk and never half-written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """The SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes in hexadecimal, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def list_files(folder: Path) -> Iterator[str]:
    """Every file below ``folder`` as a relative POSIX path, in byte order of the paths."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    yield from sorted(paths)


def canonical_json(value: Any) -> bytes:
    """``value`` as JSON with sorted keys, two spaces, UTF-8, no NaN and one final newline.

    Equal values give equal bytes. Raises ValueError for NaN or infinity.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8") + b"\n"


def read_json(path: Path) -> Any:
    """The JSON value of a file."""
    return json.loads(path.read_bytes())


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as canonical JSON, whole or not at all."""
    write_whole(path, canonical_json(value))


def sync_folder(folder: Path) -> None:
    """Flush every file below ``folder``, and the folders themselves, to the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_whole(scratch: Path, final: Path) -> None:
    """Give a finished folder its final name; what had that name before is removed only then."""
    sync_folder(scratch)
    final.parent.mkdir(parents=True, exist_ok=True)
    previous = scratch.with_name(scratch.name + ".previous")
    remove(previous)
    if final.exists():
        final.replace(previous)
    scratch.replace(final)
    remove(previous)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that it holds; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def digest_of(digests: Mapping[str, Any]) -> str:
    """One digest for a mapping: that of its canonical JSON."""
    return sha256_bytes(canonical_json(digests))
