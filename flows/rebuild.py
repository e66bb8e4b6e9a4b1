"""`pedigree rebuild`: make a version again from what it carries, and compare, stage by stage.

In: a version. Out: a signed statement that it was reproduced, or the first stage and file that differ. In between: the
second making happens in a workspace of its own below ``.pedigree/rebuild``, with the version's own code, values,
locks and libraries; nothing of this workspace is touched but DVC's cache, which is read, and written with what ran.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.core.errors import GateError, InputError, PedigreeError, WorkspaceError
from components.core.files import remove, write_whole
from components.core.keys import load_key
from components.core.lock import STATE
from components.core.pinned import PinnedFile
from components.core.records import RECORD, Record, describe_files, read_record
from components.provenance.evidence import CODE, LOCKS, raw_objects
from components.provenance.place import place_of
from components.provenance.reproduce import Difference, compare, sign_reproduced
from components.provenance.verify import Verified
from flows.verify import open_version

FOLDER, STATEMENT = STATE / "rebuild", "reproduced.json"
# What ingest fetched from elsewhere, so that a rebuild needs no network.
_FETCHED = STATE / "sources"
_CONFIG = "[core]\n    analytics = false\n    no_scm = true\n    hardlink_lock = false\n[cache]\n    dir = {cache}\n"


def rebuild(which: str, *, from_raw: bool) -> int:
    """Make a version again and compare; returns 0 when it is equal. Raises GateError when it is not."""
    verified = open_version(which)
    folder = FOLDER / verified.digest[:16]
    prepare(verified, folder, from_raw=from_raw)
    print(f"making {verified.name}, version {verified.digest[:16]}, again in {folder}", file=sys.stderr)
    run(folder, [verified.chain.records[digest].stage for digest in verified.ends.values()])
    definition = verified.statement.predicate.buildDefinition
    difference = compare(verified.chain, records_in(folder), definition.internalParameters["surroundings"])
    if difference:
        raise _not_equal(verified, folder, difference)
    statement = sign_reproduced(verified.digest, verified.chain, from_raw=from_raw, key=load_key())
    write_whole(place_of(verified.digest) / STATEMENT, statement)
    files = sum(len(record.files) for record in verified.chain.records.values())
    print(f"Reproduced: {len(verified.chain.records)} stages, {files} files, every byte equal.")
    print(f"Signed in {place_of(verified.digest) / STATEMENT}.")
    remove(folder)
    return 0


def prepare(verified: Verified, folder: Path, *, from_raw: bool) -> None:
    """Unpack a version's code, values and locks into an empty workspace. Raises WorkspaceError."""
    remove(folder)
    folder.mkdir(parents=True)
    _unpack(verified.provenance / CODE, folder)
    # With dvc.lock, what is in the cache is taken from it; without, every stage is made again.
    for name in LOCKS:
        if (verified.provenance / name).is_file() and not (from_raw and name == "dvc.lock"):
            write_whole(folder / name, (verified.provenance / name).read_bytes())
    cache = Path(".dvc/cache") if not from_raw else folder / ".dvc/cache"
    write_whole(folder / ".dvc/config", _CONFIG.format(cache=cache.resolve()).encode())
    for path in {*_raw_files(verified.provenance), *pinned_files(verified.chain.records.values()), _FETCHED}:
        _link(path, folder)


def run(folder: Path, targets: Sequence[str]) -> None:
    """Drive the chain in ``folder`` up to the stages ``targets``. Raises WorkspaceError when one fails."""
    python = _interpreter(folder)
    command = [str(python), "-m", "dvc", "repro", *targets]
    done = subprocess.run(
        command, cwd=folder, env=_environment(python, folder), stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    )
    if done.returncode:
        fix = "mend what the stage says above; the half-made workspace is kept there to look at"
        raise WorkspaceError(str(folder), found=f"dvc ended with {done.returncode}", expected="a chain made again",
                             fix=fix)  # fmt: skip


def records_in(folder: Path) -> dict[str, Record]:
    """The record of each stage made in a workspace, with its files as they really are, by the name of the stage."""
    found = {}
    for path in sorted((folder / "data").rglob(RECORD)):
        record = read_record(path.parent)
        found[record.stage] = record.model_copy(update={"files": describe_files(path.parent)})
    return found


def _environment(python: Path, folder: Path) -> dict[str, str]:
    """This environment without what leads back to this workspace or its registry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PEDIGREE_", "MLFLOW_"))}
    path = f"{python.parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, "DVC_SITE_CACHE_DIR": str((folder / ".dvc/site").resolve())}


def _unpack(archive: Path, folder: Path) -> None:
    """Plain files only, inside ``folder`` only; the archive was verified, and is trusted no further than that."""
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
        for member in files:  # `extractall` refuses what is unsafe only from Python 3.11.4 on
            place = (folder / member.name).resolve()
            content = files.extractfile(member) if member.isreg() and place.is_relative_to(folder.resolve()) else None
            if content is None:
                raise InputError(
                    f"{archive}, {member.name}", found="no plain file inside the project",
                    expected="the code of a version", fix="do not trust this version: whoever signed it put that there",
                )  # fmt: skip
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.read())
            place.chmod(0o755 if member.mode & 0o100 else 0o644)


def _raw_files(provenance: Path) -> Iterator[Path]:
    for found in raw_objects(provenance):
        if "path" in found:
            yield Path(found["path"])


def pinned_files(records: Iterable[Record]) -> Iterator[Path]:
    """What the values of stages name by path and digest, such as labelled texts; who reads it checks its bytes."""
    waiting: list[Any] = [record.params for record in records]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict) and value.keys() == PinnedFile.model_fields.keys():
            yield Path(value["path"])
        elif isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)


def _link(path: Path, folder: Path) -> None:
    """Bring along what lies below this workspace and did not come with the code; nothing is put outside ``folder``."""
    link = folder / path
    if path.is_absolute() or ".." in path.parts or not path.exists() or link.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path.resolve())


def _interpreter(folder: Path) -> Path:
    """This interpreter where it has the libraries of the version's lock, else a new one that gets them."""
    from flows.doctor import other_versions

    lock = folder / "requirements.lock"
    if not lock.exists() or not list(other_versions(lock)):
        return Path(sys.executable)
    python = folder / ".venv" / "bin" / "python"
    print("installing the libraries of its lock", file=sys.stderr)
    uv = [sys.executable, "-m", "uv"]
    steps = (
        [sys.executable, "-m", "venv", str(folder / ".venv")],
        [*uv, "pip", "sync", "--quiet", "--system-certs", "--python", str(python), "--require-hashes", str(lock)],
    )
    for step in steps:
        if subprocess.run(step, check=False).returncode:
            fix = "rebuild where a package index can be reached, or with the libraries of its requirements.lock"
            raise WorkspaceError(
                str(lock), found="libraries that cannot be installed here", expected="those of the lock", fix=fix
            )
    return python


def _not_equal(verified: Verified, folder: Path, difference: Difference) -> PedigreeError:
    return GateError(
        f"{verified.name}, version {verified.digest[:16]}",
        found=f"stage {difference.stage} differs first, in {difference.what}",
        expected="the bytes that were registered",
        fix=f"{difference.explanation or 'compare both records'}\n  look at:  {folder}",
    )
