"""Every raw byte compared with its pin; for whoever asks whether the sources still are what a model was made from.

In: a lock. Out: the name and size of each source. In between: unlike the quick look before every run, nothing is
taken from size, time or memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.ingest.lock import Lock, PackagePin
from components.ingest.pin import changed_package, check_file, pin_package
from components.ingest.sources import place_of


def check_bytes(lock: Lock, root: Path) -> Iterator[tuple[str, int]]:
    """Compare every source with its pin, byte for byte; yields the name and the bytes of each. Raises SourceError."""
    for pin in lock.sources:
        if isinstance(pin, PackagePin):
            _check_package(pin)
            yield pin.name, pin.bytes
        else:
            for file in pin.files:
                check_file(file, place_of(file, root))
            yield pin.name, sum(file.bytes for file in pin.files)


def _check_package(pin: PackagePin) -> None:
    found = pin_package(pin.name)
    if (found.version, found.sha256) != (pin.version, pin.sha256):
        raise changed_package(pin, f"version {found.version}, {found.files} modules, sha256 {found.sha256}")
