"""The record that every stage leaves in its output folder, and the check before anything is read.

In: a finished output folder and what made it. Out: ``record.json`` beside the files.
In between: each record names the digest of each input's record, so records form a chain from a served
model back to the raw bytes, and a folder whose bytes are not its record's is refused before it is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from components.core.errors import InputError
from components.core.files import digest_of, list_files, sha256_file, write_json

RECORD, REPORT = "record.json", "report.json"


class FileEntry(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    bytes: int
    sha256: str


class Record(BaseModel):
    """What an output folder is: who made it, from what, with which values, and each file's digest.

    ``inputs`` maps an input's name to the digest of its record (folders) or of its bytes (files), as ``artifacts_of``.
    ``execution`` identifies the work itself: code, params and inputs, known before the stage runs.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    stage: str
    execution: str
    fingerprint: str
    params: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, FileEntry]

    def save(self, folder: Path) -> None:
        """Write the record into the folder that it describes."""
        write_json(folder / RECORD, self.model_dump(mode="json"))


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Size and digest of every file below ``folder`` except the record itself."""
    names = [name for name in list_files(folder) if name != RECORD]
    return {n: FileEntry(bytes=(folder / n).stat().st_size, sha256=sha256_file(folder / n)) for n in names}


def artifacts_of(inputs: Mapping[str, Path]) -> dict[str, Path]:
    """The artifacts behind a stage's inputs: a folder of several artifacts counts as each of them, ``input/name``.

    An empty folder counts as none.
    """
    found: dict[str, Path] = {}
    for name, path in inputs.items():
        if path.is_dir() and not any(path.iterdir()):
            continue
        members = sorted(path.glob(f"*/{RECORD}")) if path.is_dir() and not (path / RECORD).exists() else []
        found |= {f"{name}/{record.parent.name}": record.parent for record in members} or {name: path}
    return found


def artifact_digest(path: Path) -> str:
    """The digest that stands for an artifact: of its record for a folder, of its bytes for a file."""
    record = path / RECORD if path.is_dir() else path
    if not record.is_file():
        raise _refuse(path, "nothing there" if not path.exists() else f"no {RECORD}", "a finished artifact")
    return sha256_file(record)


def read_record(folder: Path) -> Record:
    """The record of ``folder``, parsed strictly; its files are not looked at. Raises InputError."""
    path = folder / RECORD
    if not path.is_file():
        raise _refuse(folder, f"no {RECORD}", "a folder that a stage finished")
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _refuse(path, f"{error.error_count()} fields that a record does not have", "a record") from None


def verify(folder: Path) -> Record:
    """Check every byte below ``folder`` against its record, then return the record.

    Raises InputError naming the first file that is missing, extra or different.
    """
    record = read_record(folder)
    present = {name for name in list_files(folder) if name != RECORD}
    if odd := sorted(present ^ set(record.files)):
        raise _refuse(folder / odd[0], "extra" if odd[0] in present else "missing", "the files of the record")
    for name, entry in record.files.items():
        found = sha256_file(folder / name)
        if found != entry.sha256:
            raise _refuse(folder / name, f"sha256 {found}", f"sha256 {entry.sha256}")
    return record


def verify_input(path: Path) -> str:
    """Check an input, folder or file, and return the digest that stands for it. Raises InputError."""
    if path.is_dir():
        verify(path)
    return artifact_digest(path)


def execution_digest(stage: str, fingerprint: str, params: dict[str, Any], inputs: dict[str, str]) -> str:
    """The identity of a piece of work: equal work has equal digests, on every machine."""
    return digest_of({"stage": stage, "fingerprint": fingerprint, "params": params, "inputs": inputs})


def _refuse(path: Path, found: str, expected: str) -> InputError:
    fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
    return InputError(str(path), found=found, expected=expected, fix=fix)
