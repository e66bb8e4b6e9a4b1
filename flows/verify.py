"""`pedigree verify`: a version, or a finished artifact, checked back to the raw bytes.

In: a version or a folder, the keys that are believed. Out: what was checked, a line for each step; an error names the
first leaf that fails. In between: no network, and nothing is parsed before its digest is known to be right.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.core.errors import InputError, RegistryError
from components.core.keys import PublicKey, believed_keys, key_id, load_public_key
from components.core.records import RECORD, artifact_digest
from components.provenance.chain import Chain, artifacts_below, close, find_records
from components.provenance.evidence import digests_of_pins, pins_in
from components.provenance.place import is_attested
from components.provenance.verify import Verified, verify_stages, verify_version
from flows.archive import DATA, Archive
from flows.generate import model_name


def verify(which: str, key: Path | None = None) -> int:
    """Print what was verified; returns 0. Raises InputError naming the first leaf that fails."""
    begin = time.monotonic()
    if (Path(which) / RECORD).is_file():
        num_bytes = _verify_artifact(Path(which))
    else:
        verified = open_version(which, believed(key))
        print(f"{verified.name}, version {verified.digest}")
        print(*told_of_signature(verified), sep="\n")
        archive = Archive(verified.provenance / "dvc.lock", Path("dvc.lock"))
        num_bytes = _verify_chain(verified.chain, archive, pins_in(verified.provenance))
    seconds = time.monotonic() - begin
    print(f"Verified, back to the raw bytes: {_in_words(num_bytes)} in {seconds:.1f} s.")
    return 0


def believed(key: Path | None = None) -> Mapping[str, PublicKey]:
    """The keys to believe: those of the workspace, or only the one in a file. Raises InputError."""
    if key is None:
        return believed_keys()
    public = load_public_key(key)
    return {key_id(public): public}


def open_version(which: str, keys: Mapping[str, PublicKey] | None = None) -> Verified:
    """A version by alias, number, digest or folder, its own files verified. Raises InputError or RegistryError."""
    keys = believed_keys() if keys is None else keys
    folder = next((place for place in (Path(which), Path(which) / "artifacts") if is_attested(place)), None)
    if folder is not None:
        return verify_version(folder, keys)
    if Path(which).is_dir():
        fix = "name a version, its folder, or the folder of a finished stage such as data/train"
        raise InputError(which, found="neither an attestation nor a record", expected="one of them", fix=fix)
    from components.registry import find_version, folder_of

    version = find_version(model_name(), which)
    if not version.digest:
        raise RegistryError(f"{version.name} version {version.number}", found="no digest",
                            expected="a version that Pedigree made", fix="name another version")  # fmt: skip
    return verify_version(folder_of(version), keys, version.digest)


def told_of_signature(verified: Verified) -> list[str]:
    """When and of which code it was signed, a line each."""
    predicate = verified.statement.predicate
    code = predicate.buildDefinition.resolvedDependencies[0]
    commit = code.digest.get("gitCommit", "")
    state = {True: ", with changes that were not committed", False: ""}.get(code.annotations["dirty"], "")
    files = f"{len(verified.statement.subject)} files as they were signed"
    return [_line("version", files, sum(_size(verified.folder / item.name) for item in verified.statement.subject)),
            f"  {'signed':20} {predicate.runDetails.metadata.finishedOn}, by the signer's clock",
            f"  {'code':20} {f'commit {commit}{state}' if commit else 'no git checkout'}"]  # fmt: skip


def _verify_artifact(folder: Path) -> int:
    """Check a finished stage of the workspace, which nobody signed."""
    folders = {**artifacts_below(DATA), artifact_digest(folder): folder}
    ends = {str(folder): artifact_digest(folder)}
    chain = close(find_records(folders, ends), ends, digests_of_pins(Path()), str(folder))
    print(f"{folder}, record {ends[str(folder)]}; an artifact of the workspace, which nobody signed")
    archive = Archive(Path("dvc.lock"), data=folder.parent if folder.is_absolute() else DATA)
    return _verify_chain(chain, archive, pins_in(Path()))


def _verify_chain(chain: Chain, archive: Archive, locks: Sequence[Path]) -> int:
    from components.ingest import read_lock
    from components.ingest.audit import check_bytes

    total = 0
    for record, size in verify_stages(chain, archive.locate):
        print(_line(record.stage, f"{len(record.files)} files", size))
        total += size
    for name, size in (found for lock in locks for found in check_bytes(read_lock(lock), Path())):
        print(_line("raw", f"source {name}", size))
        total += size
    return total


def _line(what: str, found: str, num_bytes: int) -> str:
    return f"  {what:20} {found}, {_in_words(num_bytes)}"


def _size(path: Path) -> int:
    return path.stat().st_size


def _in_words(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"
