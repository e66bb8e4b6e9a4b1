"""The texts of pinned sources, in the order of params.yaml.

In: the config and the lock. Out: items, each with its origin. In between: a source is read only after its bytes
were found to be those of its pin. Of a package the very bytes that were hashed are parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from components.core.errors import SourceError
from components.ingest import packages
from components.ingest.cache import Cache
from components.ingest.config import CollectConfig, DocumentationSource, FilesSource, IngestConfig, RecordsSource
from components.ingest.docstrings import read_package
from components.ingest.items import Item
from components.ingest.limits import Limits
from components.ingest.lock import FilePin, FilesPin, PackagePin, is_remote, pinned_records, pinned_sources
from components.ingest.pin import changed_package, check_file
from components.ingest.readers import read_file
from components.ingest.records import read_records


@dataclass(frozen=True)
class Origin:
    """What all texts of one source share; ``base`` comes before the position to make the uri."""

    source: str
    base: str
    licence: str
    language: str | None = None


def read_sources(config: IngestConfig, lock: Path) -> Iterator[tuple[Origin, Item]]:
    """Every text of every source of the config. Raises SourceError for a source that is not as it was pinned."""
    limits = Limits(config.max_document_bytes, config.max_expanded_bytes)
    for source, pin in pinned_sources(config, lock):
        if isinstance(pin, PackagePin) and isinstance(source, DocumentationSource):
            yield from _read_package(source, pin)
        elif isinstance(pin, FilesPin) and isinstance(source, FilesSource):
            yield from _read_files(source, pin, lock.parent, limits)


def _read_package(source: DocumentationSource, pin: PackagePin) -> Iterator[tuple[Origin, Item]]:
    modules = packages.read_modules(pin.name)
    version, digest = packages.installed_version(pin.distribution), packages.digest_modules(modules)
    if (version, digest) != (pin.version, pin.sha256):
        raise changed_package(pin, f"version {version}, {len(modules)} modules, sha256 {digest}")
    origin = Origin(pin.name, f"{pin.distribution}=={pin.version}", pin.licence)
    facts = {"distribution": pin.distribution, "version": pin.version}
    yield from _with_facts(origin, read_package(modules, source.min_characters), facts)


def _read_files(source: FilesSource, pin: FilesPin, root: Path, limits: Limits) -> Iterator[tuple[Origin, Item]]:
    origin = Origin(pin.name, pin.name, pin.licence, source.language)
    for file in pin.files:
        place = place_of(file, root)
        before = _mark(place)
        check_file(file, place)
        yield from _with_facts(origin, read_file(place, file.name, source, limits), {"sha256": file.sha256})
        _require_rest([file], [place], [before])


def read_collected(config: CollectConfig, lock: Path) -> Iterator[tuple[RecordsSource, Item]]:
    """Every record of every source of records. Raises SourceError for a source that is not as it was pinned."""
    limits = Limits(config.max_record_bytes, config.max_expanded_bytes)
    for source, pin in pinned_records(config, lock):
        places = [place_of(file, lock.parent) for file in pin.files]
        before = list(map(_mark, places))
        for file, place in zip(pin.files, places, strict=True):
            check_file(file, place)
        named = list(zip(places, (file.name for file in pin.files), strict=True))
        yield from ((source, item) for item in read_records(named, source, limits))
        _require_rest(pin.files, places, before)


def place_of(pin: FilePin, root: Path) -> Path:
    """Where a pinned file lies on this disk: where it always was, or in the cache."""
    return Cache(root).path(pin.sha256) if is_remote(pin.path) else root / pin.path


def _require_rest(pins: Sequence[FilePin], places: Sequence[Path], before: Sequence[object]) -> None:
    for pin, place, mark in zip(pins, places, before, strict=True):
        if _mark(place) != mark:
            where, fix = f"source {pin.path}", "run again when nobody writes there"
            raise SourceError(where, found="changed while it was read", expected="a file at rest", fix=fix)


def _mark(place: Path) -> tuple[int, int, int] | None:
    """What the kernel changes with every change of a file; no program can set it back."""
    try:
        status = place.stat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_size


def _with_facts(origin: Origin, items: Iterable[Item], facts: dict[str, str]) -> Iterator[tuple[Origin, Item]]:
    for item in items:
        yield origin, replace(item, meta={**item.meta, **facts})
