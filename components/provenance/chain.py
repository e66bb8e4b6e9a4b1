"""The records behind a version, from its own back to the pins of the raw bytes.

In: records by their digests. Out: the chain in the order in which it was made. In between: a record names the
digest of each of its inputs, so the chain is closed when every input is another record or the pinned sources, and
nothing can be left out, put in or exchanged without another digest at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.core.errors import InputError
from components.core.files import sha256_bytes, sha256_file
from components.core.records import RECORD, Record, execution_digest, read_record

TRAINING = "train"
SEED = "seed"


@dataclass(frozen=True)
class Chain:
    """Records by their digests, each after all that it was made from."""

    records: Mapping[str, Record]

    def of_stage(self, stage: str) -> list[tuple[str, Record]]:
        """Digest and record of every run of a stage in the chain."""
        return [(digest, record) for digest, record in self.records.items() if record.stage == stage]

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """The values of each stage; a stage that ran twice in a chain has its execution in its name."""
        found: dict[str, dict[str, Any]] = {}
        for record in self.records.values():
            name = record.stage if record.stage not in found else f"{record.stage} {record.execution[:12]}"
            found[name] = record.params
        return found

    @property
    def seeds(self) -> dict[str, int]:
        """Every seed of every stage."""
        return {f"{stage}.{SEED}": params[SEED] for stage, params in self.params.items() if SEED in params}

    def parents(self, model: str) -> list[tuple[str, Record]]:
        """The models that the model of digest ``model`` was made from: earlier trainings among its ancestors."""
        above = _ancestors(self.records, model)
        return [(digest, record) for digest, record in self.of_stage(TRAINING) if digest in above]


def close(found: Mapping[str, bytes], ends: Mapping[str, str], pins: Collection[str], where: str) -> Chain:
    """The chain of the records ``found`` (bytes by digest) from locks of sources, of digests ``pins``, to ``ends``.

    Raises InputError for a record that is missing, is not what its name says, contradicts itself or leads nowhere.
    """
    records = {digest: _parse(digest, data, where) for digest, data in found.items()}
    ordered: dict[str, Record] = {}
    for part, digest in ends.items():
        _visit(digest, records, pins, ordered, f"{where}, input of {part}", ())
    if idle := sorted(records.keys() - ordered.keys()):
        raise _refuse(f"{where}, record {idle[0][:16]}", "a record that the version was not made from", "none")
    return Chain(ordered)


def find_records(folders: Mapping[str, Path], ends: Mapping[str, str]) -> dict[str, bytes]:
    """The bytes of the records from ``ends`` back, out of finished artifacts (``folders`` by digest of record)."""
    found: dict[str, bytes] = {}
    waiting = list(ends.values())
    while waiting:
        digest = waiting.pop()
        if digest in folders and digest not in found:
            found[digest] = (folders[digest] / RECORD).read_bytes()
            waiting.extend(read_record(folders[digest]).inputs.values())
    return found


def artifacts_below(folder: Path) -> dict[str, Path]:
    """Every finished artifact below a folder by the digest of its record."""
    return {sha256_file(path): path.parent for path in sorted(folder.rglob(RECORD))}


def _parse(digest: str, data: bytes, where: str) -> Record:
    place = f"{where}, record {digest[:16]}"
    if sha256_bytes(data) != digest:
        raise _refuse(place, f"sha256 {sha256_bytes(data)}", f"sha256 {digest}")
    try:
        record = Record.model_validate_json(data)
    except ValidationError:
        raise _refuse(place, "something else", "a record") from None
    expected = execution_digest(record.stage, record.fingerprint, record.params, record.inputs)
    if record.execution != expected:
        raise _refuse(place, f"execution {record.execution}", f"{expected}, by its stage, code, values and inputs")
    return record


def _visit(
    digest: str, records: Mapping[str, Record], pins: Collection[str], ordered: dict[str, Record], where: str,
    path: tuple[str, ...],
) -> None:  # fmt: skip
    if digest in pins or digest in ordered:
        return
    if digest not in records:
        raise _refuse(f"{where}, {digest[:16]}", "no such record", "the record of every input, or the pinned sources")
    if digest in path:
        raise _refuse(f"{where}, {digest[:16]}", "an input of itself", "inputs that came before")
    record = records[digest]
    for name, inner in record.inputs.items():
        _visit(inner, records, pins, ordered, f"{record.stage}, input {name}", (*path, digest))
    ordered[digest] = record


def _ancestors(records: Mapping[str, Record], digest: str) -> set[str]:
    found: set[str] = set()
    waiting = list(records[digest].inputs.values())
    while waiting:
        inner = waiting.pop()
        if inner in records and inner not in found:
            found.add(inner)
            waiting.extend(records[inner].inputs.values())
    return found


def _refuse(where: str, found: str, expected: str) -> InputError:
    fix = "run `pedigree run`: what is whole is made again and registered anew"
    return InputError(where, found=found, expected=expected, fix=fix)
