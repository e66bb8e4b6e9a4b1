"""Sources → document shards and records: reads what its locks pin, and nothing else.

The documentation inside installed packages and local files become documents, each of which knows its source, its
place there and its licence. Tables that people collected for applications become records, which know the same.
"""

from components.core.stage import Stage
from components.ingest.config import CollectConfig, DocumentationSource, FilesSource, IngestConfig, RecordsSource
from components.ingest.lock import Lock, Withdrawn, difference, read_lock
from components.ingest.pin import check_pins, require_one_name_each, resolve
from components.ingest.stage import (
    collect,
    fetch_missing,
    fetch_missing_records,
    ingest,
    pinned_paths,
    pinned_record_files,
)

STAGE = Stage("ingest", IngestConfig, ingest, reads=pinned_paths, fetch=fetch_missing)
STAGES = {
    "ingest": STAGE,
    "collect": Stage("collect", CollectConfig, collect, reads=pinned_record_files, fetch=fetch_missing_records),
}

__all__ = [
    "STAGE",
    "STAGES",
    "CollectConfig",
    "DocumentationSource",
    "FilesSource",
    "IngestConfig",
    "Lock",
    "RecordsSource",
    "Withdrawn",
    "check_pins",
    "collect",
    "difference",
    "ingest",
    "read_lock",
    "require_one_name_each",
    "resolve",
]
