"""The stage ``ingest``: from pinned sources to document shards.

In: the pins in sources.lock.json and exactly what they name. Out: ``documents-*.parquet`` and
``rejects.parquet``. In between: a source is hashed before it is parsed; every text that is met becomes a document
or a reject; positions, not places on a disk, name the documents.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import SourceError
from components.core.progress import Progress
from components.core.stage import Books, Report
from components.ingest import packages
from components.ingest.config import DocumentationSource, FilesSource, IngestConfig
from components.ingest.items import TOO_SHORT, Item, examine
from components.ingest.lock import FilePin, FilesPin, PackagePin, pinned_sources
from components.ingest.pin import changed_package, check_files

if TYPE_CHECKING:
    from components.core.documents import DocumentWriter, RejectsWriter

_FAULTS_TOLD = 10


@dataclass(frozen=True)
class Origin:
    """What all texts of one source share; ``base`` comes before the position to make the uri."""

    source: str
    base: str
    licence: str


def pinned_paths(config: IngestConfig, *, sources: Path) -> Iterable[Path]:
    """The local files that the pins of the config name. Raises SourceError."""
    for _, pin in pinned_sources(config, sources):
        if isinstance(pin, FilesPin):
            yield from (sources.parent / file.path for file in pin.files)


def ingest(config: IngestConfig, *, sources: Path, output: Path) -> Report:
    """Read every pinned source into documents.

    Raises SourceError when a source is missing, is not what was pinned, has no pin, or is so faulty that more
    than ``max_rejected_share`` of its texts could not be read.
    """
    from components.core.documents import DocumentWriter, RejectsWriter

    with (
        DocumentWriter(output, config.shard_documents) as documents,
        RejectsWriter(output) as rejects,
        Progress("reading sources", unit="documents") as progress,
    ):
        ledger = _Ledger(config.max_document_bytes, documents, rejects)
        for origin, items in _read_sources(config, sources):
            for item in items:
                ledger.enter(origin, item)
                progress.advance(note=origin.source)
    ledger.tell_faults()
    ledger.check_share(config.max_rejected_share)
    books = Books(ledger.received, ledger.kept, rejects.dropped)
    return Report({"documents": ledger.kept, "text_bytes": ledger.text_bytes, "faults": len(ledger.faults)}, books)


@dataclass
class _Ledger:
    """Enters every item as a document or as a reject, and keeps count."""

    max_document_bytes: int
    documents: DocumentWriter
    rejects: RejectsWriter
    received: int = 0
    kept: int = 0
    text_bytes: int = 0
    faults: list[str] = field(default_factory=list)

    def enter(self, origin: Origin, found: Item) -> None:
        """Write one item where it belongs."""
        from components.core.documents import Document, Reject, document_id, meta_json

        item = examine(found, self.max_document_bytes)
        doc_id, uri = document_id(origin.source, item.position), f"{origin.base}/{item.position}"
        self.received += 1
        if item.reason:
            self.rejects.add(Reject(doc_id, origin.source, uri, item.reason, item.detail, item.text))
            if item.reason != TOO_SHORT:
                self.faults.append(f"{uri}: {item.reason}: {item.detail}")
            return
        self.kept += 1
        self.text_bytes += len(item.text.encode())
        meta = meta_json(item.meta)
        self.documents.add(Document(doc_id, item.text, origin.source, uri, origin.licence, None, meta))

    def tell_faults(self) -> None:
        """Say on standard error what could not be read."""
        for line in self.faults[:_FAULTS_TOLD]:
            print(f"set aside: {line}", file=sys.stderr)
        if self.faults:
            count = f"{len(self.faults):,} of {self.received:,} texts"
            print(f"ingest: {count} could not be read; they are in rejects.parquet", file=sys.stderr)

    def check_share(self, max_rejected_share: float) -> None:
        """Raises SourceError when too many texts were faulty."""
        share = len(self.faults) / self.received if self.received else 0.0
        if share > max_rejected_share:
            first = "; ".join(self.faults[:3])
            raise SourceError(
                "ingest, sources",
                found=f"{len(self.faults):,} of {self.received:,} texts ({share:.1%}) cannot be read: {first}",
                expected=f"at most {max_rejected_share:.1%} (ingest.max_rejected_share)",
                fix="mend or leave out those sources, or allow a larger share in params.yaml",
            )


def _read_sources(config: IngestConfig, sources: Path) -> Iterator[tuple[Origin, Iterator[Item]]]:
    for source, pin in pinned_sources(config, sources):
        if isinstance(pin, PackagePin) and isinstance(source, DocumentationSource):
            yield _read_package(source, pin)
        elif isinstance(pin, FilesPin) and isinstance(source, FilesSource):
            check_files(pin.files, sources.parent)
            origin = Origin(pin.name, pin.name, pin.licence)
            yield from ((origin, _read_file(config, source, file, sources.parent)) for file in pin.files)


def _read_package(source: DocumentationSource, pin: PackagePin) -> tuple[Origin, Iterator[Item]]:
    from components.ingest.docstrings import read_package

    modules = packages.read_modules(pin.name)
    version, digest = packages.installed_version(pin.distribution), packages.digest_modules(modules)
    if (version, digest) != (pin.version, pin.sha256):
        raise changed_package(pin, f"version {version}, {len(modules)} modules, sha256 {digest}")
    origin = Origin(pin.name, f"{pin.distribution}=={pin.version}", pin.licence)
    facts = {"distribution": pin.distribution, "version": pin.version}
    return origin, _with_facts(read_package(modules, source.min_characters), facts)


def _read_file(config: IngestConfig, source: FilesSource, pin: FilePin, root: Path) -> Iterator[Item]:
    from components.ingest.readers import Limits, read_file

    limits = Limits(config.max_document_bytes, config.max_expanded_bytes)
    return _with_facts(read_file(root / pin.path, pin.name, source, limits), {"sha256": pin.sha256})


def _with_facts(items: Iterable[Item], facts: dict[str, str]) -> Iterator[Item]:
    for item in items:
        yield Item(item.position, item.text, {**item.meta, **facts}, item.reason, item.detail)
