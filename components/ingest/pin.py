"""Looking at the sources themselves: pinning them, and comparing them with their pins.

In: a config, or a lock, and the folder in which relative paths start. Out: a lock, or nothing when all is as it
was pinned. In between: no source is parsed, imported or run.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from components.core.errors import SourceError
from components.core.files import sha256_file
from components.ingest import packages
from components.ingest.config import DocumentationSource, FilesSource, IngestConfig
from components.ingest.formats import FORMATS, split_suffixes
from components.ingest.lock import REFRESH, FilePin, FilesPin, Lock, PackagePin, read_lock


def resolve(config: IngestConfig, root: Path = Path()) -> Lock:
    """Look at every source of the config and pin what is there now. Raises SourceError."""
    pins: list[PackagePin | FilesPin] = []
    for source in config.sources:
        if isinstance(source, DocumentationSource):
            pins.extend(map(pin_package, source.packages))
        else:
            pins.append(pin_files(source, root))
    return Lock(sources=tuple(pins))


def pin_package(package: str) -> PackagePin:
    """The pin of an installed package as it is now. Raises SourceError."""
    distribution = packages.find_distribution(package)
    modules = packages.read_modules(package)
    return PackagePin(
        name=package,
        distribution=distribution,
        version=packages.installed_version(distribution) or "unknown",
        licence=packages.find_licence(distribution),
        files=len(modules),
        bytes=sum(map(len, modules.values())),
        sha256=packages.digest_modules(modules),
    )


def pin_files(source: FilesSource, root: Path) -> FilesPin:
    """The pins of the files that the globs of a source name below ``root``, as they are now.

    A file is called after its path below the fixed part of its glob, so that a corpus that moves keeps the
    identities of its documents. Raises SourceError for a glob without files, an unknown format, and two files
    of one name.
    """
    found: dict[str, str] = {}
    for pattern in source.paths:
        for name, path in _match(pattern, source, root):
            found.setdefault(path, name)
    for name, count in Counter(found.values()).items():
        if count > 1:
            fix = "give each folder a source of its own"
            raise _refuse(source, f"{count} files called {name}", "one file per name", fix)
    files = (_pin_file(name, path, source, root) for path, name in found.items())
    return FilesPin(name=source.name, paths=source.paths, licence=source.licence, files=tuple(files))


def _match(pattern: str, source: FilesSource, root: Path) -> Iterator[tuple[str, str]]:
    """The (name, path) of every file that ``pattern`` names, in the order of the paths."""
    # Not Path.glob, which takes no absolute pattern.
    matches = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
    paths = [path for path in sorted(PurePath(match).as_posix() for match in matches) if (root / path).is_file()]
    if not paths:
        raise _refuse(source, f"no file at {pattern}", "at least one file", "mend `paths` or put the files there")
    fixed = _fixed_part(pattern)
    yield from ((PurePath(path).relative_to(fixed).as_posix(), path) for path in paths)


def _fixed_part(pattern: str) -> PurePath:
    parts: list[str] = []
    for part in PurePath(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return PurePath(*parts)


def _pin_file(name: str, path: str, source: FilesSource, root: Path) -> FilePin:
    if split_suffixes(path)[0] not in FORMATS:
        expected = f"{', '.join(FORMATS)}, each plain or .gz, .bz2, .xz, .zst"
        raise _refuse(source, f"{path}, of no known format", expected, "narrow the glob, or convert the file")
    place = _inside(path, root)
    try:
        return FilePin(path=place, name=name, bytes=(root / path).stat().st_size, sha256=sha256_file(root / path))
    except OSError as error:
        raise _refuse(source, f"{path}: {error.strerror}", "a file that can be read", "mend its permissions") from None


def _inside(path: str, root: Path) -> str:
    """``path`` relative to ``root`` when it lies inside; else as the glob gave it."""
    # Not Path.resolve, which follows links: what lies in the project may be a link to elsewhere.
    absolute, base = (Path(os.path.abspath(place)) for place in (root / path, root))  # noqa: PTH100
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else path


def check_pins(path: Path) -> None:
    """Compare the sources with the lock at ``path``; cheap enough for every run. Raises SourceError.

    Local files are hashed again. Of a package only the version and the number and size of its modules are
    compared (a second of hashing saved): an edit in place that keeps the size is not seen here, but by ``ingest``,
    which hashes every module before it reads one.
    """
    for pin in read_lock(path).sources:
        if isinstance(pin, PackagePin):
            _check_installed(pin)
        else:
            check_files(pin.files, path.parent)


def _check_installed(pin: PackagePin) -> None:
    version = packages.installed_version(pin.distribution)
    if version != pin.version:
        raise changed_package(pin, f"version {version}" if version else "not installed")
    if (found := packages.measure_modules(pin.name)) != (pin.files, pin.bytes):
        raise changed_package(pin, f"version {version} with {found[0]} modules of {found[1]:,} bytes")


def changed_package(pin: PackagePin, found: str) -> SourceError:
    """The error for a package that is not what its pin says."""
    expected = f"{pin.distribution} {pin.version}, {pin.files} modules, {pin.bytes:,} bytes, sha256 {pin.sha256}"
    fix = f"`pip install {pin.distribution}=={pin.version}` for the old one; to take the new one, {REFRESH}"
    return SourceError(f"source {pin.name}", found=found, expected=expected, fix=fix)


def check_files(files: Iterable[FilePin], root: Path) -> None:
    """Compare files with their pins, byte for byte. Raises SourceError with both digests."""
    for pin in files:
        try:
            found = f"sha256 {sha256_file(root / pin.path)}"
        except OSError as error:
            found = str(error.strerror)
        if found != f"sha256 {pin.sha256}":
            fix = f"restore the file; to take what is there now, {REFRESH}"
            raise SourceError(f"source {pin.path}", found=found, expected=f"sha256 {pin.sha256}", fix=fix)


def _refuse(source: FilesSource, found: str, expected: str, fix: str) -> SourceError:
    return SourceError(f"source {source.name}", found=found, expected=expected, fix=fix)
