"""What code a stage is: the digest of everything in the project that it imports, and of its libraries' versions.

In: a room's package and the project's sources, parsed and never run. Out: a fingerprint per stage.
In between: comments, docstrings and formatting do not count; a helper three imports away does, and so do the
interpreter and every installed library that the code or one of its libraries asks for.

Covered: static imports anywhere in a module, ``modules_of(__name__)``, files beside the modules of a package
(templates, tables).
Not covered: modules named only at run time. ``components.core.child`` therefore refuses, after the stage ran,
every project module that was loaded and is not in the fingerprint.
"""

from __future__ import annotations

import ast
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from components.core.files import canonical_json, digest_of, sha256_bytes, write_json
from components.core.lock import STATE
from components.core.memory import Memory

RUNNER = "components.core.child"
# ``components.core.modules``: a call of this in a package imports all its modules.
_CALL_FOR_ALL, _ALL = "modules_of", ".*"
_PROJECT_PACKAGES = ("components", "flows")


@dataclass(frozen=True)
class Fingerprint:
    """The identity of a stage's code.

    ``modules`` maps module names to digests of their parsed code, ``resources`` maps other files of the same
    packages to digests of their bytes, ``libraries`` maps distributions to versions.
    """

    python: str
    modules: dict[str, str]
    resources: dict[str, str]
    libraries: dict[str, str]

    @property
    def digest(self) -> str:
        """One digest for all of it."""
        return digest_of(vars(self))

    def as_json(self) -> dict[str, Any]:
        """The fingerprint as it stands in its file."""
        return {**vars(self), "digest": self.digest}


@dataclass(frozen=True)
class _Parsed:
    """A module's digest, all its imports, and those that run when it is imported."""

    digest: str
    everywhere: frozenset[str]
    at_once: frozenset[str]

    def imports(self, is_used: bool) -> frozenset[str]:
        return self.everywhere if is_used else self.at_once


@dataclass
class Sources:
    """The project's modules below ``root``, each parsed at most once."""

    root: Path
    memory: Memory | None = None
    _parsed: dict[str, _Parsed] = field(default_factory=dict)
    _paths: dict[str, Path | None] = field(default_factory=dict)

    def fingerprint(self, room: str) -> Fingerprint:
        """The fingerprint of the stages of ``components/<room>``."""
        modules, imports = self._close_over([f"components.{room}", RUNNER])
        return Fingerprint(
            python=platform.python_version(),
            modules={name: self._parse(name).digest for name in sorted(modules)},
            resources=dict(self._resources(modules)),
            libraries=_versions(frozenset(imports)),
        )

    def path(self, module: str) -> Path | None:
        """The file of a project module, or None when there is no such module."""
        if module not in self._paths:
            base = self.root.joinpath(*module.split("."))
            candidates = (base / "__init__.py", base.with_suffix(".py"))
            self._paths[module] = next((path for path in candidates if path.is_file()), None)
        return self._paths[module]

    def _close_over(self, start: Iterable[str]) -> tuple[set[str], set[str]]:
        """Every module that ``start`` leads to, and every foreign module that those import.

        Importing ``a.b`` also runs ``a/__init__.py`` and what that imports at once, but none of the functions
        in there: of such modules only the imports at their top level are followed.
        """
        waiting = [(name, True) for name in start]
        seen, libraries = dict[str, bool](), set[str]()
        while waiting:
            name, is_used = waiting.pop()
            if seen.get(name) or (name in seen and not is_used):
                continue
            seen[name] = is_used
            for imported in self._expanded(self._parse(name).imports(is_used)):
                if imported.partition(".")[0] not in _PROJECT_PACKAGES:
                    libraries.add(imported)
                elif self.path(imported):
                    waiting.append((imported, is_used))
            waiting.extend((parent, False) for parent in _parents(name))
        return set(seen), {name for name in libraries if name.partition(".")[0] not in sys.stdlib_module_names}

    def _expanded(self, imports: Iterable[str]) -> Iterator[str]:
        """The imports themselves, and every module of a package in the place of ``package.*``."""
        for name in imports:
            package = self.path(name.removesuffix(_ALL)) if name.endswith(_ALL) else None
            if package is None:
                yield name
            else:
                found = sorted(path.stem for path in package.parent.glob("*.py") if path.stem != "__init__")
                yield from (f"{name.removesuffix('*')}{stem}" for stem in found)

    def _parse(self, module: str) -> _Parsed:
        if module not in self._parsed:
            path = self.path(module)
            package = module if path and path.name == "__init__.py" else module.rpartition(".")[0]
            parse = partial(_parse, package=package)
            if path is None:
                raise FileNotFoundError(f"no module {module} below {self.root}")
            digest, everywhere, at_once = self.memory.recall(path, parse) if self.memory else parse(path)
            self._parsed[module] = _Parsed(digest, frozenset(everywhere), frozenset(at_once))
        return self._parsed[module]

    def _resources(self, modules: set[str]) -> Iterator[tuple[str, str]]:
        folders = {path.parent for name in modules if (path := self.path(name))}
        for folder in sorted(folders):
            for path in sorted(folder.iterdir()):
                if path.is_file() and path.suffix not in (".py", ".pyc"):
                    yield path.relative_to(self.root).as_posix(), sha256_bytes(path.read_bytes())


def write_fingerprints(output: Path, rooms: dict[str, str], root: Path) -> list[str]:
    """Write ``<output>/<stage>.json`` for each stage of ``rooms`` (stage name to room); returns those that changed."""
    memory = Memory(STATE / "memory" / f"parsed-{_version_of_parser()}.json")
    sources, changed = Sources(root, memory), []
    for stage, room in rooms.items():
        path, value = output / f"{stage}.json", sources.fingerprint(room).as_json()
        before = path.read_bytes() if path.exists() else b""
        if before != canonical_json(value):
            write_json(path, value)
            changed.append(stage)
    memory.save()
    return changed


def _version_of_parser() -> str:
    """What the result of parsing depends on beside the file: the interpreter and this module."""
    return sha256_bytes(sys.version.encode() + Path(__file__).read_bytes())[:16]


def _parse(path: Path, package: str) -> tuple[str, list[str], list[str]]:
    """A file's digest of code, all that it imports, and what it imports at once."""
    tree = ast.parse(path.read_bytes(), filename=str(path))
    everywhere, at_once = set(_imports(ast.walk(tree), package)), set(_imports(_outside_functions(tree), package))
    return _digest_of_code(tree), sorted(everywhere), sorted(at_once)


def _imports(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == _CALL_FOR_ALL:
            yield f"{package}{_ALL}"


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _parents(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _digest_of_code(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = _without_docstring(node.body)
    return sha256_bytes(ast.dump(tree).encode())


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _versions(imports: frozenset[str]) -> dict[str, str]:
    waiting, found = [_distribution_of(name) for name in sorted(imports)], dict[str, str]()
    while waiting:
        name = waiting.pop()
        installed = _installed(name) if name and name not in found else None
        if installed is not None:
            found[name] = installed[0]
            waiting.extend(installed[1])
    return dict(sorted(found.items()))


def _distribution_of(module: str) -> str:
    """The normalised distribution that provides an imported module; its own name when nothing provides it."""
    parts = module.split(".")
    for name in (_normalise("-".join(parts[:2])), _normalise(parts[0])):
        if _installed(name):
            return name
    return _normalise(next(iter(_providers().get(parts[0], [])), parts[0]))


@cache
def _providers() -> dict[str, list[str]]:
    return {name: sorted(found) for name, found in importlib.metadata.packages_distributions().items()}


@cache
def _installed(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Version and normalised requirements of an installed distribution, or None."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    # The email parser behind ``distribution.version`` costs a millisecond each; the header is plain enough.
    header = (distribution.read_text("METADATA") or "").partition("\n\n")[0]
    version = re.search(r"^Version: (.+)$", header, flags=re.MULTILINE)
    return (version[1] if version else distribution.version), tuple(_requirements(header))


def _requirements(header: str) -> Iterator[str]:
    from packaging.requirements import Requirement

    for line in _required_lines(header):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _normalise(requirement.name)


def _required_lines(header: str) -> Iterator[str]:
    for line in re.findall(r"^Requires-Dist: (.+)$", header, flags=re.MULTILINE):
        # Most lines belong to extras; parsing them all would take longer than the rest of the fingerprint.
        if "extra ==" not in line or " or " in line:
            yield line


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
