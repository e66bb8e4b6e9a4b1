"""Installed packages as sources: where their modules are and what they are, without importing any of them.

In: the name of a package. Out: its modules' bytes, its distribution, version and licence. In between: test
modules do not count, for their docstrings document nothing; the order is that of the relative paths.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from components.core.errors import SourceError
from components.core.files import digest_of, sha256_bytes

_SKIPPED_FOLDERS = {"__pycache__", "test", "tests"}
_LICENCE_CHARACTERS = 200


def list_modules(package: str) -> list[tuple[str, Path]]:
    """The Python files of ``package`` as (path relative to its parent folder, path), without its tests.

    Raises SourceError when it is not installed or has no Python files.
    """
    spec = PathFinder.find_spec(package)
    if spec is None:
        raise _refuse(package, "not installed", "an installed package")
    if spec.submodule_search_locations is not None:
        modules = sorted(m for folder in spec.submodule_search_locations for m in _walk(package, Path(folder)))
    else:
        origin = Path(spec.origin or "")
        modules = [(origin.name, origin)] if origin.suffix == ".py" else []
    if not modules:
        raise _refuse(package, "no .py files", "a package written in Python")
    return modules


def _walk(package: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        for name in names:
            if name.endswith(".py") and name != "conftest.py":
                path = Path(place, name)
                yield f"{package}/{path.relative_to(folder).as_posix()}", path


def read_modules(package: str) -> dict[str, bytes]:
    """The bytes of every module of ``package`` by relative path. Raises SourceError."""
    try:
        return {name: path.read_bytes() for name, path in list_modules(package)}
    except OSError as error:
        raise _refuse(package, str(error), "readable files") from None


def measure_modules(package: str) -> tuple[int, int]:
    """How many modules ``package`` has and how many bytes they are together, without reading them."""
    sizes = [path.stat().st_size for _, path in list_modules(package)]
    return len(sizes), sum(sizes)


def digest_modules(modules: Mapping[str, bytes]) -> str:
    """One SHA-256 for a package: over the relative path and the SHA-256 of each module."""
    return digest_of({name: sha256_bytes(data) for name, data in modules.items()})


def find_distribution(package: str) -> str:
    """The one distribution that installed ``package``. Raises SourceError when there is none or several."""
    owners = sorted(set(_owners(tuple(sys.path)).get(package, ())))
    if len(owners) != 1:
        found = f"{package} belongs to {' and '.join(owners) or 'no distribution'}"
        raise _refuse(package, found, "a package of exactly one distribution, whose version and licence it has")
    return owners[0]


@cache
def _owners(_path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """The distributions of every installed package; half a second, so once per search path."""
    return importlib.metadata.packages_distributions()


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None when it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def find_licence(distribution: str) -> str:
    """What a distribution says about its licence.

    The SPDX expression where there is one, else the licence classifiers, else the first line of the field
    ``License``, else ``unknown``.
    """
    metadata = importlib.metadata.metadata(distribution)
    if expressions := metadata.get_all("License-Expression"):
        return str(expressions[0])
    classifiers = [c for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    if classifiers:
        return " AND ".join(c.rpartition(" :: ")[2] for c in sorted(classifiers))
    lines = "".join(metadata.get_all("License") or ()).strip().splitlines()
    return lines[0][:_LICENCE_CHARACTERS] if lines else "unknown"


def _refuse(package: str, found: str, expected: str) -> SourceError:
    fix = f"install it, or remove {package} from the ingest sources in params.yaml"
    return SourceError(f"package {package}", found=found, expected=expected, fix=fix)
