"""Attests a version: writes down, signed, what its files are and everything that they were made from.

In: the parts of a version, the workspace that made them, a key. Out: the folder ``provenance`` of the version.
In between: the statement is computed from the files of that folder wherever it can be, so that a reader computes it
again and compares; the commit, the clock and the machine are all that has to be believed of the signer.

    provenance/attestation.json    the signed statement; it speaks of every other file of the version
    provenance/...                 see ``components.provenance.evidence`` and ``components.provenance.documents``
    provenance/model.sig           with an ECDSA key only: the same files as OpenSSF model signing lists them
"""

from __future__ import annotations

import datetime
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from components.core.files import digest_of, list_files, move_whole, sha256_file, write_whole
from components.core.keys import PrivateKey
from components.core.records import artifact_digest, artifacts_of
from components.provenance import evidence, surroundings
from components.provenance.chain import Chain
from components.provenance.dsse import seal
from components.provenance.manifest import MANIFEST, sign_manifest
from components.provenance.place import ATTESTATION, PROVENANCE
from components.provenance.statement import (
    BUILD_TYPE,
    BUILDER,
    BuildDefinition,
    Builder,
    Metadata,
    Provenance,
    Resource,
    RunDetails,
    Statement,
)  # fmt: skip

# What the manifest for others cannot list: itself, and the statement that is written after it and speaks of it.
UNLISTED = (f"{PROVENANCE}/{ATTESTATION}", f"{PROVENANCE}/{MANIFEST}")


@dataclass(frozen=True)
class Order:
    """What to attest: ``parts`` maps the parts of a version to their folders, ``data`` holds those of all stages."""

    name: str
    parts: Mapping[str, Path]
    data: Path
    workspace: Path
    code: Path

    @property
    def ends(self) -> dict[str, str]:
        """The digest of each part's record."""
        return {part: artifact_digest(folder) for part, folder in self.folders.items()}

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each part; one that holds several artifacts counts as each of them."""
        return artifacts_of(self.parts)

    @property
    def digest(self) -> str:
        """The digest of the version."""
        return digest_of(self.ends)


def attest(order: Order, key: PrivateKey, byproducts: list[Resource], into: Path) -> Path:
    """Write the folder ``into/provenance`` of the version; returns it. Raises InputError for a chain with a gap."""
    from components.provenance.documents import write_documents

    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".making-") as scratch:
        folder = Path(scratch) / PROVENANCE
        chain = evidence.gather(order.ends, order.data, order.workspace, order.code, folder)
        write_documents(folder, order.name, chain, order.ends)
        if isinstance(key, EllipticCurvePrivateKey):
            files = files_of({**order.folders, PROVENANCE: folder})
            write_whole(folder / MANIFEST, sign_manifest(order.name, files, UNLISTED, key))
        statement = make_statement(order, chain, folder, byproducts)
        write_whole(folder / ATTESTATION, seal(statement.to_bytes(), key))
        move_whole(folder, into / PROVENANCE)
    return into / PROVENANCE


def make_statement(order: Order, chain: Chain, folder: Path, byproducts: list[Resource]) -> Statement:
    """What is said of the version whose provenance stands in ``folder``."""
    files = files_of({**order.folders, PROVENANCE: folder})
    definition = BuildDefinition(
        buildType=BUILD_TYPE,
        externalParameters=external_parameters(order.name, chain, order.ends),
        internalParameters={"seeds": chain.seeds, "surroundings": surroundings.describe()},
        resolvedDependencies=[_code(order, folder), *dependencies(folder, chain, order.ends)],
    )
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    details = RunDetails(
        builder=Builder(id=BUILDER, version={"python": platform.python_version()}),
        metadata=Metadata(invocationId=order.digest, finishedOn=now.replace("+00:00", "Z")),
        byproducts=byproducts,
    )
    subject = [Resource(name=name, digest={"sha256": digest}) for name, digest in sorted(files.items())]
    return Statement(subject=subject, predicate=Provenance(buildDefinition=definition, runDetails=details))


def files_of(folders: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of every file in named folders, by its path from the name on."""
    return {f"{name}/{file}": sha256_file(folder / file) for name, folder in folders.items()
            for file in list_files(folder)}  # fmt: skip


def external_parameters(name: str, chain: Chain, ends: Mapping[str, str]) -> dict[str, Any]:
    """The name and digest of the version, the records of its parts, and every value of every stage."""
    return {"name": name, "digest": digest_of(ends), "parts": dict(ends), "params": chain.params}


def dependencies(folder: Path, chain: Chain, ends: Mapping[str, str]) -> list[Resource]:
    """Everything that the version was made from, computed from the folder ``provenance`` alone."""
    locks = [_file(folder, name) for name in evidence.LOCKS if (folder / name).is_file()]
    objects = [_object(found) for found in evidence.raw_objects(folder)]
    parents = {digest for digest, _ in chain.parents(ends["model"])}
    roles = {**dict.fromkeys(parents, "parent model"), **{digest: part for part, digest in ends.items()}}
    records = [_record(digest, chain, roles.get(digest)) for digest in chain.records]
    return [*locks, *objects, *records]


def _code(order: Order, folder: Path) -> Resource:
    state = surroundings.code_state(order.code)
    commit = {"gitCommit": state[0]} if state else {}
    annotations = {"dirty": state[1]} if state else {"dirty": "unknown: no git checkout"}
    resource = _file(folder, evidence.CODE)
    return resource.model_copy(update={"digest": {**resource.digest, **commit}, "annotations": annotations})


def _file(folder: Path, name: str) -> Resource:
    return Resource(name=name, uri=f"{PROVENANCE}/{name}", digest={"sha256": sha256_file(folder / name)})


def _object(found: Mapping[str, Any]) -> Resource:
    """A raw object; its address is where its pin says that it lies, or the release of the package that it is."""
    release = f"pkg:pypi/{found['distribution']}@{found['version']}" if "distribution" in found else None
    uri = next((str(found[key]) for key in ("url", "uri", "path") if found.get(key)), release)
    facts = {key: value for key, value in found.items() if key not in ("sha256", "name")}
    return Resource(name=f"source {found['name']}", uri=uri, digest={"sha256": found["sha256"]}, annotations=facts)


def _record(digest: str, chain: Chain, role: str | None) -> Resource:
    record = chain.records[digest]
    facts = {"execution": record.execution, "fingerprint": record.fingerprint, **({"role": role} if role else {})}
    uri = f"{PROVENANCE}/{evidence.RECORDS}/{digest}.json"
    return Resource(name=f"stage {record.stage}", uri=uri, digest={"sha256": digest}, annotations=facts)
