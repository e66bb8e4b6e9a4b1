"""Remembers what was computed from a file for as long as the kernel says that the file is the same.

In: a file and a function of its bytes. Out: the function's value, computed or remembered.
In between: a file is the same while its inode, its size and its inode change time are; a program can set a
modification time back, but not that one. What changed in the last two seconds is not remembered, because a clock
tick could hide a second change. Losing the memory costs time and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.core.files import write_json

_YOUNG_SECONDS = 2.0


class Memory:
    """Values by path, kept in the JSON file ``path``; call ``save`` when done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before: dict[str, Any] = _load(path)
        self._now: dict[str, Any] = {}

    def recall(self, file: Path, compute: Callable[[Path], Any]) -> Any:
        """``compute(file)``, or what it gave last time if the file is the same. Values must be plain JSON."""
        name, stat = str(file.resolve()), file.stat()
        mark = [stat.st_ino, stat.st_ctime_ns, stat.st_size]
        kept = self._now.get(name) or self._before.get(name)
        if kept and kept[0] == mark:
            self._now[name] = kept
            return kept[1]
        value = compute(file)
        if time.time() - stat.st_ctime > _YOUNG_SECONDS:
            self._now[name] = [mark, value]
        return value

    def save(self) -> None:
        """Keep what was used or computed since the memory was opened; the rest is forgotten."""
        if self._now != self._before:
            write_json(self._path, self._now)


def _load(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return {}
