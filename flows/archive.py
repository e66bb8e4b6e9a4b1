"""Where the files of finished artifacts lie: in the workspace, or in DVC's cache.

In: the digest of a record. Out: a path for each file of the artifact. In between: a place is taken only when the
record that lies there has exactly that digest; the files themselves are checked by whoever reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.core.files import sha256_file
from components.core.records import RECORD, Record
from components.provenance.chain import artifacts_below

DATA, CACHE = Path("data"), Path(".dvc/cache/files/md5")


class Archive:
    """Looks below ``data`` first, then for what the ``locks`` (files of DVC) name in the cache."""

    def __init__(self, *locks: Path, data: Path = DATA, cache: Path = CACHE) -> None:
        self._cache = cache
        self._found = {digest: _files_below(folder) for digest, folder in artifacts_below(data).items()}
        self._locks = locks

    def locate(self, digest: str, record: Record) -> Mapping[str, Path] | None:
        """The path of each file of an artifact, or None when it is not on this machine."""
        if digest not in self._found:
            for lock in self._locks:
                self._found.update(self._in_cache(lock))
        found = self._found.get(digest)
        return found if found is not None and set(record.files) <= set(found) else None

    def _in_cache(self, lock: Path) -> Iterator[tuple[str, Mapping[str, Path]]]:
        for folder in _folders_of(lock):
            listing = self._path(folder)
            if listing.is_file():
                entries = json.loads(listing.read_bytes())
                files = {str(entry["relpath"]): self._path(str(entry["md5"])) for entry in entries}
                if RECORD in files and files[RECORD].is_file():
                    yield sha256_file(files[RECORD]), files

    def _path(self, md5: str) -> Path:
        return self._cache / md5[:2] / md5[2:]


def _files_below(folder: Path) -> Mapping[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def _folders_of(lock: Path) -> Iterator[str]:
    """The MD5 of every output folder that a dvc.lock names."""
    from components.core import params

    stages: dict[str, Any] = params.load(lock).get("stages", {}) if lock.is_file() else {}
    for stage in stages.values():
        yield from (str(out["md5"]) for out in stage.get("outs", ()) if str(out.get("md5", "")).endswith(".dir"))
