"""sources.lock.json and records.lock.json: what each source was when it was last looked at, as package locks say it.

In: pins, or a file. Out: the file, or pins. In between: a source is its pin's digest; its licence and version
stand beside it; nothing is read that has no pin. Relative paths start at the folder that holds the file. ``ingest`` and
``collect`` have a file each, so that what changes for one runs nothing again of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.core.errors import SourceError
from components.core.files import sha256_bytes, write_json
from components.ingest.config import (
    CollectConfig,
    DocumentationSource,
    FilesSource,
    IngestConfig,
    RecordsSource,
    SourceFiles,
)

REFRESH = "run `pedigree refresh`, look at the difference that it shows, and commit both locks"


class Pin(BaseModel):
    """Base of everything in the lock: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class PackagePin(Pin):
    """An installed package: ``sha256`` is one digest over the path and the SHA-256 of each of its modules."""

    kind: Literal["documentation"] = "documentation"
    name: str
    distribution: str
    version: str
    licence: str
    files: int
    bytes: int
    sha256: str


class FilePin(Pin):
    """One file: ``path`` is where it lies, ``name`` what its documents are called after (see ``resolve``).

    ``etag`` is what its server called this version, for a file elsewhere.
    """

    path: str
    name: str
    bytes: int
    sha256: str
    etag: str | None = None


class FilesPin(Pin):
    """The files that the globs of a source named; they share its licence."""

    kind: Literal["files"] = "files"
    name: str
    paths: tuple[str, ...]
    licence: str
    files: tuple[FilePin, ...]


class Withdrawn(Pin):
    """What may be in no corpus any more: identities of documents, SHA-256 of texts, names of sources, licences."""

    documents: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()

    @cached_property
    def _sets(self) -> dict[str, frozenset[str]]:
        return {name: frozenset(getattr(self, name)) for name in type(self).model_fields}

    def covers(self, document: str, text: str, source: str, licence: str) -> bool:
        """Whether a document is withdrawn for any reason."""
        named = {"documents": document, "sources": source, "licences": licence}
        if any(value in self._sets[kind] for kind, value in named.items()):
            return True
        return bool(self.texts) and sha256_bytes(text.encode("utf-8", "surrogatepass")) in self._sets["texts"]

    def __or__(self, other: Withdrawn) -> Withdrawn:
        """What either of both withdraws, in order."""
        names = type(self).model_fields
        return Withdrawn(**{name: tuple(sorted({*getattr(self, name), *getattr(other, name)})) for name in names})


class Lock(Pin):
    """All pins of one stage, in the order of its sources in params.yaml, and what may not be read of them."""

    sources: tuple[Annotated[PackagePin | FilesPin, Field(discriminator="kind")], ...]
    withdrawn: Withdrawn = Withdrawn()

    def withdrawing(self, withdrawn: Withdrawn) -> Lock:
        """This lock without what is ``withdrawn``; names and licences of other sources are no change of it."""
        names, licences = {pin.name for pin in self.sources}, {pin.licence for pin in self.sources}
        own = {
            "sources": tuple(name for name in withdrawn.sources if name in names),
            "licences": tuple(licence for licence in withdrawn.licences if licence in licences),
        }
        return self.model_copy(update={"withdrawn": withdrawn.model_copy(update=own)})

    def save(self, path: Path) -> None:
        """Write the lock, whole or not at all."""
        write_json(path, self.model_dump(mode="json", exclude=None if self.withdrawn != Withdrawn() else {"withdrawn"}))


def is_remote(path: str) -> bool:
    """Whether a path is an address and no place on this disk."""
    return path.startswith(("http://", "https://", "s3://"))


def read_lock(path: Path) -> Lock:
    """The lock of a file, parsed strictly. Raises SourceError."""
    if not path.is_file():
        raise SourceError(str(path), found="no such file", expected="the pins of the sources", fix=REFRESH)
    try:
        return Lock.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise SourceError(f"{path}, {place}", found=first["msg"], expected="a lock of sources", fix=REFRESH) from None


def pinned_sources(
    config: IngestConfig, path: Path
) -> Iterator[tuple[DocumentationSource, PackagePin] | tuple[FilesSource, FilesPin]]:
    """Every source of the config with its pin out of the lock at ``path``.

    Raises SourceError for a source without a pin, or one that was pinned with other paths or another licence.
    """
    pins = {pin.name: pin for pin in read_lock(path).sources}
    for source in config.sources:
        if isinstance(source, DocumentationSource):
            for package in source.packages:
                yield source, _package_pin(package, pins.get(package), path)
        else:
            yield source, _files_pin(source, pins.get(source.name), path)


def pinned_records(config: CollectConfig, path: Path) -> Iterator[tuple[RecordsSource, FilesPin]]:
    """Every source of records with its pin out of the lock at ``path``. Raises SourceError, as ``pinned_sources``."""
    pins = {pin.name: pin for pin in read_lock(path).sources}
    for source in config.sources:
        yield source, _files_pin(source, pins.get(source.name), path)


def _package_pin(name: str, pin: PackagePin | FilesPin | None, path: Path) -> PackagePin:
    if not isinstance(pin, PackagePin):
        raise _unpinned(name, pin, path, "a pin of the package")
    return pin


def _files_pin(source: SourceFiles, pin: PackagePin | FilesPin | None, path: Path) -> FilesPin:
    expected = f"paths {', '.join(source.paths)} under licence {source.licence}"
    if not isinstance(pin, FilesPin) or (pin.paths, pin.licence) != (source.paths, source.licence):
        raise _unpinned(source.name, pin, path, expected)
    return pin


def _unpinned(name: str, pin: PackagePin | FilesPin | None, path: Path, expected: str) -> SourceError:
    found = "no pin"
    if isinstance(pin, PackagePin):
        found = "the pin of a package"
    elif isinstance(pin, FilesPin):
        found = f"paths {', '.join(pin.paths)} under licence {pin.licence}"
    return SourceError(f"{path}, source {name}", found=found, expected=expected, fix=REFRESH)


def difference(old: Lock | None, new: Lock) -> list[str]:
    """What changed from one lock to another, a line for each pin: ``+`` new, ``-`` gone, ``~`` changed."""
    before, after = dict(_lines(old) if old else ()), dict(_lines(new))
    lines = []
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before:
            lines.append(f"+ {name}: {after[name]}")
        elif name not in after:
            lines.append(f"- {name}: {before[name]}")
        elif before[name] != after[name]:
            lines.append(f"~ {name}: {before[name]} -> {after[name]}")
    return lines


def _lines(lock: Lock) -> Iterator[tuple[str, str]]:
    for kind, names in lock.withdrawn.model_dump().items():
        yield from ((f"withdrawn from {kind}: {name}", "kept out of the corpus") for name in names)
    for pin in lock.sources:
        if isinstance(pin, PackagePin):
            size = f"{pin.files} files, {pin.bytes:,} bytes"
            yield pin.name, f"{pin.distribution} {pin.version}, {size}, {pin.licence}, sha256 {pin.sha256[:12]}"
        else:
            for file in pin.files:
                version = f", ETag {file.etag}" if file.etag else ""
                yield (
                    f"{pin.name}/{file.name}",
                    (f"{file.bytes:,} bytes, {pin.licence}, sha256 {file.sha256[:12]}{version}"),
                )
