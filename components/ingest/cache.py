"""What was fetched from elsewhere, kept in the project under its digest.

In: bytes as they arrive. Out: files below ``.pedigree/sources`` that are called after their SHA-256. In between: what
has such a name is whole and was hashed; what is still arriving stands in ``partial`` under its address and version,
so that a fetch that was cut or killed goes on where it stopped, and never with another version of the file. The
folder may be removed at any time: what is pinned is fetched again when it is needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from components.core.files import remove, sha256_bytes, sha256_file
from components.core.lock import STATE

FOLDER = STATE / "sources"


@dataclass(frozen=True)
class Cache:
    """The fetched files of the project at ``root``."""

    root: Path

    def path(self, sha256: str) -> Path:
        """Where the file of this digest lies, if it is there."""
        return self.root / FOLDER / sha256[:2] / sha256

    def holds(self, sha256: str, num_bytes: int) -> bool:
        """Whether the file of this digest and size is there; its bytes are looked at before they are parsed."""
        path = self.path(sha256)
        return path.is_file() and path.stat().st_size == num_bytes

    def partial(self, address: str, version: str | None) -> Path:
        """Where a version of ``address`` arrives; an unknown version begins anew."""
        path = self.root / FOLDER / "partial" / sha256_bytes(f"{address}\0{version}".encode())[:32]
        path.parent.mkdir(parents=True, exist_ok=True)
        if version is None:
            path.unlink(missing_ok=True)
        path.touch()
        return path

    def adopt(self, partial: Path) -> tuple[str, int]:
        """Give a whole file its final name; returns its digest and size."""
        sha256, num_bytes = sha256_file(partial), partial.stat().st_size
        final = self.path(sha256)
        final.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(final)
        return sha256, num_bytes

    def drop(self, sha256: str) -> None:
        """Remove a file whose bytes are not those of its name."""
        self.path(sha256).unlink(missing_ok=True)

    def forget_partials(self) -> None:
        """Remove what arrived of files that nobody waits for any more."""
        remove(self.root / FOLDER / "partial")
