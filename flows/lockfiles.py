"""Keeps DVC's own files sound: dvc.lock and the table of who reads and writes what.

In: what an earlier run, perhaps a killed one, left behind. Out: files that DVC accepts.
In between: the workspace is held, so nobody else drives it. DVC writes both files in place, so a killed run can leave
a part of one; dvc.lock is therefore copied before a run and the copy taken when the file cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.core.files import read_json, write_json, write_whole
from components.core.lock import STATE

LOCK = Path("dvc.lock")
_COPY = STATE / "dvc.lock"
_ORDER = STATE / "dvc.lock.order.json"
_TABLE = Path(".dvc/tmp/rwlock")


def mend() -> list[str]:
    """Mend what a killed run left, then copy dvc.lock; returns what was done, a sentence each."""
    return [*_mend_lock(), *_mend_table()]


def recorded_stages() -> list[str]:
    """Names of the stages in dvc.lock, in its order."""
    return list(_read_lock(LOCK) or {})


def remember_order() -> None:
    """Note the order of dvc.lock before a run; the note of a run that was killed is kept, for its end is still due."""
    if not _ORDER.exists():
        write_json(_ORDER, recorded_stages())


def restore_order(planned: list[str]) -> None:
    """Put dvc.lock into the order that `dvc repro` leaves: known stages where they were, new ones in plan order.

    Stages that run side by side are recorded as they end, so the order would differ from run to run.
    """
    before, now = read_json(_ORDER), recorded_stages()
    wanted = [name for name in dict.fromkeys([*before, *planned, *now]) if name in now]
    if wanted != now:
        _reorder(wanted)
    _ORDER.unlink()


def _reorder(wanted: list[str]) -> None:
    from dvc.utils.serialize import modify_yaml

    with modify_yaml(str(LOCK)) as values:
        stages = values["stages"]
        for name in wanted:
            stages[name] = stages.pop(name)


def _mend_lock() -> Iterator[str]:
    if LOCK.exists() and _read_lock(LOCK) is None and _read_lock(_COPY) is not None:
        write_whole(LOCK, _COPY.read_bytes())
        yield "dvc.lock was not whole (a run was killed while writing it): its last copy is back"
    if _read_lock(LOCK) is not None:
        write_whole(_COPY, LOCK.read_bytes())


def _read_lock(path: Path) -> dict[str, Any] | None:
    """The stages of a lock file, or None when it is missing or not whole."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
    from voluptuous import Invalid

    if not path.exists():
        return None
    try:
        values = COMPILED_LOCKFILE_SCHEMA(parse_yaml(path.read_text(encoding="utf-8"), str(path)))
    except (YAMLFileCorruptedError, Invalid, UnicodeDecodeError):
        return None
    return dict(values.get("stages", {})) if values else None


def _mend_table() -> Iterator[str]:
    """Remove DVC's table of readers and writers when it is not whole or none of those it names is alive."""
    entries = _entries_of_table()
    if entries == [] or any(map(_is_alive, entries or ())):
        return
    _TABLE.unlink()
    yield "a killed run had left its marks in .dvc/tmp/rwlock: removed"


def _entries_of_table() -> list[dict[str, Any]] | None:
    """Who reads and writes, or None when the table is not whole."""
    try:
        table = json.loads(_TABLE.read_bytes()) if _TABLE.exists() else {}
        readers = [entry for entries in table.get("read", {}).values() for entry in entries]
        return [*readers, *table.get("write", {}).values()]
    except (ValueError, AttributeError, TypeError):
        return None


def _is_alive(entry: dict[str, Any]) -> bool:
    """Whether the process still is the one that made the entry: numbers are used again."""
    import psutil

    try:
        command = " ".join(psutil.Process(int(entry["pid"])).cmdline())
    except (psutil.Error, KeyError, ValueError):
        return False
    return str(entry.get("cmd")) in command
