"""`pedigree refresh`: look at the sources again, show what is not as it was pinned, then pin it.

In: the sources of params.yaml, sources.lock.json where there is one. Out: sources.lock.json.
In between: nothing is taken that was not shown; `dvc repro` and `pedigree run` read only what is pinned.
"""

from __future__ import annotations

import sys
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
            print("Pinned in sources.lock.json; `pedigree run` takes it from there.")
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
    from components.__main__ import SOURCES_LOCK

    return [] if SOURCES_LOCK.exists() else take_changes()


def _look() -> tuple[Lock, list[str]]:
    from components import ingest
    from components.__main__ import SOURCES_LOCK, check_params, stage
    from components.core import params

    check_params()
    values = params.load()
    config, collected = params.section(values, stage("ingest")), params.section(values, stage("collect"))
    try:
        old = ingest.read_lock(SOURCES_LOCK) if SOURCES_LOCK.exists() else None
    except SourceError as error:
        print(f"{error.where} cannot be read ({error.found}): everything is pinned anew", file=sys.stderr)
        old = None
    records = ingest.CollectConfig.model_validate(collected).sources
    new = ingest.resolve(ingest.IngestConfig.model_validate(config), known=old, records=records)
    new = new.model_copy(update={"withdrawn": withdrawn()})
    return new, ingest.difference(old, new)


def _take(new: Lock) -> None:
    from components.__main__ import SOURCES_LOCK

    new.save(SOURCES_LOCK)


def ask(question: str) -> bool:
    """Whether whoever sits at the terminal agrees; nobody there is a no."""
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
