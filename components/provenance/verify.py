"""Verifies a version: its files against what was signed, and every stage behind it, back to the raw bytes.

In: the folder of a version, the keys that are believed, and where bytes of earlier stages may lie. Out: what was
signed, or the first leaf that is not as it must be. In between: nothing is parsed before its digest or signature was
found good, except the envelope itself, which is parsed strictly and has one spelling.

Covered: every byte and every name in the version; the digest that the registry has for it; every record, and every
byte of every artifact and raw object that is on this machine. Not covered: what the signer claims of commit, clock
and machine; a folder of the registry's own beside the parts (MLflow's ``MLmodel``, which nothing here reads).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import InputError
from components.core.files import digest_of, sha256_file
from components.core.keys import PublicKey
from components.core.records import RECORD, Record, artifact_digest, artifacts_of
from components.provenance import evidence
from components.provenance.attest import dependencies, external_parameters
from components.provenance.chain import Chain
from components.provenance.dsse import unseal
from components.provenance.inspection import inspect
from components.provenance.manifest import MANIFEST, read_manifest
from components.provenance.place import ATTESTATION, PARTS, PROVENANCE
from components.provenance.statement import Statement, read_statement

# Where the files of an artifact lie: by digest and record, each name to a path; None when they are not here.
Locate = Callable[[str, Record], Mapping[str, Path] | None]
_FIX = "fetch the version again (`dvc checkout`, or the registry it came from), or register it anew: `pedigree run`"


@dataclass(frozen=True)
class Verified:
    """A version whose every byte is as it was signed."""

    folder: Path
    statement: Statement
    chain: Chain

    @property
    def name(self) -> str:
        """The name that it was registered under."""
        return str(self.statement.predicate.buildDefinition.externalParameters["name"])

    @property
    def digest(self) -> str:
        """The digest of the version."""
        return self.statement.digest

    @property
    def ends(self) -> dict[str, str]:
        """The digest of each part's record."""
        return dict(self.statement.predicate.buildDefinition.externalParameters["parts"])

    @property
    def provenance(self) -> Path:
        """The folder of what tells where it came from."""
        return self.folder / PROVENANCE


def verify_version(folder: Path, believed: Mapping[str, PublicKey], digest: str | None = None) -> Verified:
    """Check a version's every byte against its signed statement. Raises InputError naming the first leaf that fails.

    ``digest`` is what the registry says that the version is; without it, the folder speaks for itself.
    """
    statement = read_signed(folder, believed)
    check_files(folder, {item.name: item.digest["sha256"] for item in statement.subject})
    inspect(folder)
    parts = artifacts_of({part: folder / part for part in PARTS if (folder / part).is_dir()})
    ends = {part: artifact_digest(path) for part, path in parts.items()}
    for found in (digest_of(ends), digest or statement.digest):
        if found != statement.digest:
            raise _refuse(str(folder), f"version {found}", f"version {statement.digest}, which was signed")
    chain = evidence.read_chain(folder / PROVENANCE, ends, str(folder))
    _check_statement(folder, statement, chain, ends)
    if (manifest := folder / PROVENANCE / MANIFEST).exists():
        read_manifest(manifest.read_bytes(), believed, str(manifest))
    return Verified(folder, statement, chain)


def read_signed(folder: Path, believed: Mapping[str, PublicKey]) -> Statement:
    """What a believed key signed of the version in ``folder``; its files are not looked at. Raises InputError."""
    path = folder / PROVENANCE / ATTESTATION
    if not path.is_file() or path.is_symlink():
        raise _refuse(str(path), "no attestation", "a signed statement of where the version came from")
    return read_statement(unseal(path.read_bytes(), believed, str(path)), str(path))


def check_files(folder: Path, expected: Mapping[str, str]) -> None:
    """Check that ``folder`` holds exactly these files (path to SHA-256) and its attestation. Raises InputError."""
    present = set(_walk(folder)) - {f"{PROVENANCE}/{ATTESTATION}"}
    if odd := sorted(present ^ expected.keys()):
        raise _refuse(str(folder / odd[0]), *("extra", "none") if odd[0] in present else ("missing", "a file"))
    check_digests((folder / name, digest) for name, digest in sorted(expected.items()))


def check_digests(expected: Iterable[tuple[Path, str]]) -> int:
    """Hash files, several at a time; returns their bytes. Raises InputError for the first, in order, that differs."""
    wanted, total = list(expected), 0
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        measured = pool.map(_measure, (path for path, _ in wanted))
        for (path, digest), (found, size) in zip(wanted, measured, strict=True):
            if found != f"sha256 {digest}":
                pool.shutdown(cancel_futures=True)
                raise _refuse(str(path), found, f"sha256 {digest}")
            total += size
    return total


def verify_stages(chain: Chain, locate: Locate) -> Iterator[tuple[Record, int]]:
    """Check the bytes of every stage behind a version, from the last back to the first; yields each with its bytes.

    Raises InputError naming the first file that is missing or different.
    """
    for digest, record in reversed(list(chain.records.items())):
        found = locate(digest, record)
        if found is None:
            raise InputError(
                f"stage {record.stage}, {digest[:16]}", found="its files are not on this machine",
                expected="the bytes that the version was made from", fix="`dvc fetch`, then verify again",
            )  # fmt: skip
        yield record, check_digests((found[name], entry.sha256) for name, entry in sorted(record.files.items()))


def _check_statement(folder: Path, statement: Statement, chain: Chain, ends: Mapping[str, str]) -> None:
    """What is said must be what the files say, where files can say it."""
    definition = statement.predicate.buildDefinition
    name = str(definition.externalParameters.get("name"))
    if definition.externalParameters != external_parameters(name, chain, ends):
        raise _refuse(f"{folder}, statement", "other values", "the values that the records hold")
    if definition.internalParameters.get("seeds") != chain.seeds:
        raise _refuse(f"{folder}, statement", "other seeds", "the seeds that the records hold")
    for part, digest in ends.items():
        told = {i.name: i.digest["sha256"] for i in statement.subject if i.name.startswith(f"{part}/")}
        record = {f"{part}/{name}": entry.sha256 for name, entry in chain.records[digest].files.items()}
        if told != {**record, f"{part}/{RECORD}": digest}:
            raise _refuse(f"{folder}, statement", f"other files of {part}", "those that its record holds")
    if definition.resolvedDependencies[1:] != dependencies(folder / PROVENANCE, chain, ends):
        raise _refuse(f"{folder}, statement", "other dependencies", "those that records, locks and pins hold")


def _walk(folder: Path) -> Iterator[str]:
    """Every file below ``folder``. Raises InputError for a link, for what is no file, and for a folder without any."""
    for place, folders, names in os.walk(folder):
        here = Path(place)
        if not folders and not names:
            raise _refuse(place, "an empty folder", "files that were signed, and no other folders")
        for name in (*folders, *names):
            if (here / name).is_symlink() or not (name in folders or (here / name).is_file()):
                raise _refuse(str(here / name), "a link or a device", "a plain file")
        yield from ((here / name).relative_to(folder).as_posix() for name in names)


def _measure(path: Path) -> tuple[str, int]:
    """A file's digest and size, or why there is none, and 0."""
    try:
        return f"sha256 {sha256_file(path)}", path.stat().st_size
    except OSError as error:
        return str(error.strerror), 0


def _refuse(where: str, found: str, expected: str) -> InputError:
    return InputError(where, found=found, expected=expected, fix=_FIX)
