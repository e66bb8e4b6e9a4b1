"""`pedigree refresh`: look at the sources again, show what is not as it was pinned, then pin it.

In: the sources of params.yaml, sources.lock.json and records.lock.json where they are. Out: both.
In between: nothing is taken that was not shown; `dvc repro` and `pedigree run` read only what is pinned.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import SourceError
from components.core.lock import hold_workspace
from flows.withdrawn import withdrawn

if TYPE_CHECKING:
    from components.ingest import Lock


def refresh(*, is_agreed: bool) -> int:
    """Show what changed and pin it, after asking unless ``is_agreed``; returns 0. Raises PedigreeError."""
    with hold_workspace("pedigree refresh"):
        new, lines = _look()
        if not lines:
            print("The sources are as they were pinned.")
            return 0
        print(*lines, sep="\n")
        if is_agreed or ask("Pin this?"):
            _take(new)
            print("Pinned in sources.lock.json and records.lock.json; `pedigree run` takes it from there.")
        else:
            print("Nothing was pinned; `pedigree refresh --yes` pins what is shown above.")
    return 0


def take_changes() -> list[str]:
    """Pin the sources as they are now, for a run that nobody watches; returns what changed, a line each."""
    new, lines = _look()
    if lines:
        _take(new)
    return lines


def pin_when_absent() -> list[str]:
    """Pin the sources when they never were; returns what was pinned, a line each."""
    from components.__main__ import PINS

    return [] if any(path.exists() for path in PINS.values()) else take_changes()


def _look() -> tuple[dict[Path, Lock], list[str]]:
    """The locks as they would be now, by their files, and what in them is not as it was pinned, a line each."""
    from components import ingest
    from components.__main__ import PINS, check_params, stage
    from components.core import params

    check_params()
    values = params.load()
    sections = {name: params.section(values, stage(name)) for name in PINS}
    configs: dict[str, ingest.IngestConfig | ingest.CollectConfig] = {
        "ingest": ingest.IngestConfig.model_validate(sections["ingest"]),
        "collect": ingest.CollectConfig.model_validate(sections["collect"]),
    }
    old = {path: _pinned(path) for path in PINS.values()}
    gone = withdrawn()
    new = {path: ingest.resolve(configs[name], known=old[path]).withdrawing(gone) for name, path in PINS.items()}
    ingest.require_one_name_each(new.values())
    lines = (line for path in new for line in _differences(path, old[path], new[path]))
    return new, list(dict.fromkeys(lines))  # once what is withdrawn from both


def _differences(path: Path, old: Lock | None, new: Lock) -> Iterator[str]:
    from components.ingest import difference

    if old is None:
        yield f"+ {path}"
    yield from difference(old, new)


def _pinned(path: Path) -> Lock | None:
    from components.ingest import read_lock

    try:
        return read_lock(path) if path.exists() else None
    except SourceError as error:
        print(f"{error.where} cannot be read ({error.found}): everything in it is pinned anew", file=sys.stderr)
        return None


def _take(new: Mapping[Path, Lock]) -> None:
    for path, lock in new.items():
        lock.save(path)


def ask(question: str) -> bool:
    """Whether whoever sits at the terminal agrees; nobody there is a no."""
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
