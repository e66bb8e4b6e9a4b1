"""Every raw byte compared with its pin; for whoever asks whether the sources still are what a model was made from.

In: a lock. Out: the name and size of each source. In between: unlike the quick look before every run, nothing is
taken from size, time or memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.core.errors import SourceError
from components.core.files import sha256_file
from components.ingest.lock import REFRESH, FilePin, Lock, PackagePin
from components.ingest.pin import changed_package, pin_package


def check_bytes(lock: Lock, root: Path) -> Iterator[tuple[str, int]]:
    """Compare every source with its pin, byte for byte; yields the name and the bytes of each. Raises SourceError."""
    for pin in lock.sources:
        if isinstance(pin, PackagePin):
            _check_package(pin)
            yield pin.name, pin.bytes
        else:
            for file in pin.files:
                _check_file(file, root / file.path)
            yield pin.name, sum(file.bytes for file in pin.files)


def _check_package(pin: PackagePin) -> None:
    found = pin_package(pin.name)
    if (found.version, found.sha256) != (pin.version, pin.sha256):
        raise changed_package(pin, f"version {found.version}, {found.files} modules, sha256 {found.sha256}")


def _check_file(pin: FilePin, place: Path) -> None:
    try:
        found = sha256_file(place)
    except OSError as error:
        found = str(error.strerror)
    if found != pin.sha256:
        fix = f"restore the file; to take what is there now, {REFRESH}"
        raise SourceError(f"source {pin.path}", found=found, expected=f"sha256 {pin.sha256}", fix=fix)
