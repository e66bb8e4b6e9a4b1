"""Looking at the sources themselves: pinning them, and comparing them with their pins.

In: a config, or a lock, and the folder in which relative paths start. Out: a lock, or nothing when all is as it
was pinned. In between: no source is parsed, imported or run.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from components.core.errors import SourceError
from components.core.files import sha256_file
from components.core.lock import STATE
from components.core.memory import Memory
from components.ingest import packages
from components.ingest.cache import Cache
from components.ingest.config import CollectConfig, DocumentationSource, FilesSource, IngestConfig, SourceFiles
from components.ingest.formats import FORMATS, is_known
from components.ingest.lock import REFRESH, FilePin, FilesPin, Lock, PackagePin, is_remote, read_lock

_MEMORY = STATE / "memory"


def resolve(config: IngestConfig | CollectConfig, root: Path = Path(), known: Lock | None = None) -> Lock:
    """Look at every source of the config, and pin what is there now. Raises SourceError.

    Files elsewhere are fetched into the cache, but those that are as ``known`` says.
    """
    pins: list[PackagePin | FilesPin] = []
    before = [file for pin in known.sources if isinstance(pin, FilesPin) for file in pin.files] if known else []
    for source in config.sources:
        if isinstance(source, DocumentationSource):
            pins.extend(map(pin_package, source.packages))
        else:
            pins.append(pin_files(source, root, before))
    Cache(root).forget_partials()
    return Lock(sources=tuple(pins))


def require_one_name_each(locks: Iterable[Lock]) -> None:
    """Refuse two sources of one name, whichever stage reads them. Raises SourceError."""
    for name, count in Counter(pin.name for lock in locks for pin in lock.sources).items():
        if count > 1:
            raise SourceError(
                f"source {name}", found=f"{count} sources of this name", expected="one source per name, of all that "
                "ingest and collect read", fix="give one of them another name in params.yaml",
            )  # fmt: skip


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


def pin_files(source: SourceFiles, root: Path, known: Iterable[FilePin] = ()) -> FilesPin:
    """The pins of the files that the paths of a source name below ``root`` and elsewhere, as they are now.

    A file is called after its path below the fixed part of its glob, so that a corpus that moves keeps the
    identities of its documents. Raises SourceError for a glob without files, an unknown format, and two files
    of one name.
    """
    found: dict[str, FilePin] = {}
    for pattern in source.paths:
        pins = dict(_pins(pattern, source, root, known))
        if not pins:
            fix = "mend `paths` or put the files there"
            raise _refuse(source, f"no file at {pattern}", "at least one file", fix)
        found |= {path: pin for path, pin in pins.items() if path not in found}
    for name, count in Counter(pin.name for pin in found.values()).items():
        if count > 1:
            fix = "give each folder a source of its own"
            raise _refuse(source, f"{count} files called {name}", "one file per name", fix)
    return FilesPin(name=source.name, paths=source.paths, licence=source.licence, files=tuple(found.values()))


def _pins(pattern: str, source: SourceFiles, root: Path, known: Iterable[FilePin]) -> Iterator[tuple[str, FilePin]]:
    if is_remote(pattern):
        from components.ingest.fetch import pin_remote

        _require_format(pattern, source)
        yield from pin_remote(pattern, source, Cache(root), known)
        return
    fixed = _fixed_part(pattern)
    for path in _match(pattern, root):
        _require_format(path, source)
        yield path, _pin_file(PurePath(path).relative_to(fixed).as_posix(), path, source, root)


def _match(pattern: str, root: Path) -> list[str]:
    """The files that ``pattern`` names, in the order of their paths; a folder stands for all files in it."""
    # Not Path.glob, which takes no absolute pattern.
    folder = pattern.rstrip("/")
    pattern = f"{glob.escape(folder)}/**" if (root / folder).is_dir() else pattern
    matches = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
    return [path for path in sorted(PurePath(match).as_posix() for match in matches) if (root / path).is_file()]


def _fixed_part(pattern: str) -> PurePath:
    parts: list[str] = []
    for part in PurePath(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return PurePath(*parts)


def _require_format(path: str, source: SourceFiles) -> None:
    if isinstance(source, FilesSource) and not is_known(urlsplit(path).path if is_remote(path) else path):
        expected = f"{', '.join(FORMATS)}, each plain or .gz, .bz2, .xz, .zst"
        raise _refuse(source, f"{path}, of no known format", expected, "narrow the glob, or convert the file")


def _pin_file(name: str, path: str, source: SourceFiles, root: Path) -> FilePin:
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

    Local files are hashed again when the kernel says that they changed; files elsewhere are not asked for. Of a
    package only the version and the number and size of its modules are compared (a second of hashing saved): an
    edit in place that keeps the size is not seen here, but by ``ingest``, which hashes every module that it reads.
    """
    memory = Memory(path.parent / _MEMORY / path.name)
    for pin in read_lock(path).sources:
        if isinstance(pin, PackagePin):
            _check_installed(pin)
            continue
        for file in (file for file in pin.files if not is_remote(file.path)):
            check_file(file, path.parent / file.path, lambda place: str(memory.recall(place, sha256_file)))
    memory.save()


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


def check_file(pin: FilePin, place: Path, digest: Callable[[Path], str] = sha256_file) -> None:
    """Compare a file with its pin, byte for byte. Raises SourceError with both digests."""
    try:
        found = f"sha256 {digest(place)}"
    except OSError as error:
        found = str(error.strerror)
    if found != f"sha256 {pin.sha256}":
        restore = f"remove {place}" if is_remote(pin.path) else "restore the file"
        fix = f"{restore} and run again; to take what is there now, {REFRESH}"
        raise SourceError(f"source {pin.path}", found=found, expected=f"sha256 {pin.sha256}", fix=fix)


def _refuse(source: SourceFiles, found: str, expected: str, fix: str) -> SourceError:
    return SourceError(f"source {source.name}", found=found, expected=expected, fix=fix)
