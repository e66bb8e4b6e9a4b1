"""Folders that outlive an attempt at a piece of work, so that the next attempt can go on where it had come to.

In: a stage and the identity of the work (code, params, inputs). Out: a folder of its own for that work.
In between: the folder's name is the digest of the work, so other params or other data never meet what is kept here.
Of work that was left unfinished, the most recent two are kept; the rest would fill the disk.

    .pedigree/checkpoints/STAGE/EXECUTION/identity.json   which work this is
                                         …                what the stage keeps there
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.core.files import canonical_json, read_json, remove, write_whole
from components.core.lock import STATE

IDENTITY = "identity.json"
_MOST_UNFINISHED = 2
_MOST_CHARACTERS = 40


def open_attempt(stage: str, execution: str, identity: Mapping[str, Any]) -> Path:
    """The folder of this work, made where there is none; the identity is noted in it."""
    folder = STATE / "checkpoints" / stage / execution
    for old in _others(folder)[_MOST_UNFINISHED:]:
        remove(old)
    write_whole(folder / IDENTITY, canonical_json(identity))
    return folder


def unfinished(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Other work of the same stage that was left unfinished, the most recent first, and what is different now."""
    now = read_json(folder / IDENTITY)
    for other in _others(folder):
        yield other, differences(read_json(other / IDENTITY), now)


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What two JSON values differ in, a line each: ``params.seed: 1, now 2``."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        found = (differences(before.get(k), now.get(k), f"{name}.{k}" if name else k) for k in keys)
        return [line for lines in found for line in lines]
    return [] if before == now else [f"{name}: {_short(before)}, now {_short(now)}"]


def _others(folder: Path) -> list[Path]:
    notes = [note for note in folder.parent.glob(f"*/{IDENTITY}") if note.parent != folder]
    return [note.parent for note in sorted(notes, key=lambda note: -note.stat().st_mtime_ns)]


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
