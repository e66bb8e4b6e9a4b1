"""Sources → document shards: reads what sources.lock.json pins, and nothing else.

The documentation inside installed packages and local files become documents, each of which knows its source, its
place there and its licence.
"""

from components.core.stage import Stage
from components.ingest.config import DocumentationSource, FilesSource, IngestConfig
from components.ingest.lock import Lock, Withdrawn, difference, read_lock
from components.ingest.pin import check_pins, resolve
from components.ingest.stage import fetch_missing, ingest, pinned_paths

STAGE = Stage("ingest", IngestConfig, ingest, reads=pinned_paths, fetch=fetch_missing)

__all__ = [
    "STAGE",
    "DocumentationSource",
    "FilesSource",
    "IngestConfig",
    "Lock",
    "Withdrawn",
    "check_pins",
    "difference",
    "ingest",
    "read_lock",
    "resolve",
]
