"""withdrawn.json: what may be in no corpus any more, whatever the recipe and however often the sources are pinned.

In: the file, or nothing. Out: what is withdrawn, in the locks of sources too. In between: a lock is what its stage
reads and what DVC compares, so a withdrawal runs again exactly what it must; the file outlives the locks.
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
    """Withdraw more, in the file and in the locks."""
    write_json(FILE, (withdrawn() | more).model_dump(mode="json"))
    embed()


def embed() -> None:
    """Let each lock say what is withdrawn of its sources, where there is a lock."""
    from components.__main__ import PINS
    from components.ingest import read_lock

    for path in filter(Path.exists, PINS.values()):
        lock = read_lock(path)
        if (now := lock.withdrawing(withdrawn())) != lock:
            now.save(path)
