"""Notices bytes that changed behind the back of whoever trusts size and modification time.

In: the output folders and their records. Out: every file that is not what its record says gets a new
modification time, so that a driver which compares times looks again and finds the difference.
In between: a file whose inode change time is the one seen last is not read again; that time cannot be set back
by a program, as the modification time can.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from components.core.files import sha256_file, write_json
from components.core.lock import STATE
from components.core.records import RECORD, read_record

_SEEN = STATE / "seals.json"


def expose_silent_changes(data: Path, root: Path = Path()) -> list[Path]:
    """Touch every file below ``data`` whose bytes are not its record's; returns those files."""
    seen = _load(root / _SEEN)
    now: dict[str, list[int]] = {}
    exposed = []
    for path, sha256 in _recorded_files(data):
        stat = path.stat()
        mark = [stat.st_ino, stat.st_ctime_ns, stat.st_size]
        if seen.get(str(path)) != mark and sha256_file(path) != sha256:
            os.utime(path)
            exposed.append(path)
        else:
            now[str(path)] = mark
    write_json(root / _SEEN, now)
    return exposed


def _recorded_files(data: Path) -> Iterator[tuple[Path, str]]:
    for record in sorted(data.rglob(RECORD)):
        for name, entry in read_record(record.parent).files.items():
            if (path := record.parent / name).is_file():
                yield path, entry.sha256


def _load(path: Path) -> dict[str, list[int]]:
    return dict(json.loads(path.read_bytes())) if path.exists() else {}
