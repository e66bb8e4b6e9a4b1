"""withdrawn.json: what may be in no corpus any more, whatever the recipe and however often the sources are pinned.

In: the file, or nothing. Out: what is withdrawn, in ``sources.lock.json`` too. In between: the lock is what ``ingest``
reads and what DVC compares, so a withdrawal runs again exactly what it must; the file outlives the lock.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from components.core.errors import SourceError
from components.core.files import write_json

if TYPE_CHECKING:
    from components.ingest import Withdrawn

FILE = Path("withdrawn.json")


def withdrawn() -> Withdrawn:
    """What is withdrawn; nothing where there is no file. Raises SourceError for a file that cannot be read."""
    from components.ingest import Withdrawn

    try:
        return Withdrawn.model_validate_json(FILE.read_bytes()) if FILE.exists() else Withdrawn()
    except ValidationError as error:
        fix = "mend it, or take the last one from git: without it, withdrawn texts would come back"
        first = error.errors(include_url=False)[0]
        found, expected = first["msg"], "lists of documents, texts, sources and licences"
        raise SourceError(str(FILE), found=found, expected=expected, fix=fix) from None


def add(more: Withdrawn) -> None:
    """Withdraw more, in the file and in the lock."""
    write_json(FILE, (withdrawn() | more).model_dump(mode="json"))
    embed()


def embed() -> None:
    """Let the lock say what is withdrawn, where there is a lock."""
    from components.__main__ import SOURCES_LOCK
    from components.ingest import read_lock

    if SOURCES_LOCK.exists():
        lock, now = read_lock(SOURCES_LOCK), withdrawn()
        if lock.withdrawn != now:
            lock.model_copy(update={"withdrawn": now}).save(SOURCES_LOCK)
