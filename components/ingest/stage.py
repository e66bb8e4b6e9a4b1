"""The stages ``ingest`` and ``collect``: from pinned sources to document shards, and to records of applications.

In: the pins in the stage's lock and exactly what they name. Out: ``documents-*.parquet`` or ``records.parquet``, and
``rejects.parquet``. In between: a source is hashed before it is parsed; every text that is met becomes a document
or a reject; positions, not places on a disk, name the documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.core.progress import Progress
from components.core.stage import Report
from components.ingest.config import CollectConfig, FilesSource, IngestConfig
from components.ingest.lock import FilesPin, pinned_records, pinned_sources, read_lock


def pinned_paths(config: IngestConfig, *, sources: Path) -> Iterable[Path]:
    """The files that the pins of the config name, where they lie on this disk. Raises SourceError."""
    from components.ingest.sources import place_of

    for _, pin in pinned_sources(config, sources):
        if isinstance(pin, FilesPin):
            yield from (place_of(file, sources.parent) for file in pin.files)


def fetch_missing(config: IngestConfig, *, sources: Path) -> None:
    """Have the pinned files that lie elsewhere in the cache, before the walls close. Raises SourceError."""
    from components.ingest.fetch import bring

    for source, pin in pinned_sources(config, sources):
        if isinstance(source, FilesSource) and isinstance(pin, FilesPin):
            bring(source, pin.files, sources.parent)


def ingest(config: IngestConfig, *, sources: Path, output: Path) -> Report:
    """Read every pinned source into documents.

    Raises SourceError when a source is missing, is not what was pinned, has no pin, or when more than
    ``max_rejected_share`` of all texts could not be read.
    """
    from components.ingest.ledger import Ledger
    from components.ingest.sources import read_sources

    with (
        Ledger(config, output, read_lock(sources).withdrawn) as ledger,
        Progress("reading sources", unit="documents") as progress,
    ):
        for origin, item in read_sources(config, sources):
            ledger.enter(origin, item)
            progress.advance(note=origin.source)
    return ledger.close_books()


def pinned_record_files(config: CollectConfig, *, sources: Path) -> Iterable[Path]:
    """The files of records, where they lie on this disk. Raises SourceError."""
    from components.ingest.sources import place_of

    for _, pin in pinned_records(config, sources):
        yield from (place_of(file, sources.parent) for file in pin.files)


def fetch_missing_records(config: CollectConfig, *, sources: Path) -> None:
    """Have the files of records that lie elsewhere in the cache, before the walls close. Raises SourceError."""
    from components.ingest.fetch import bring

    for source, pin in pinned_records(config, sources):
        bring(source, pin.files, sources.parent)


def collect(config: CollectConfig, *, sources: Path, output: Path) -> Report:
    """Read every pinned source of records. Raises SourceError, as ``ingest``."""
    from components.ingest.ledger import RecordsLedger
    from components.ingest.sources import read_collected

    with (
        RecordsLedger(config, output, read_lock(sources).withdrawn) as ledger,
        Progress("collecting records", unit="records") as progress,
    ):
        for source, item in read_collected(config, sources):
            ledger.enter(source, item)
            progress.advance(note=source.name)
    return ledger.close_books()
