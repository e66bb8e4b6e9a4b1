"""`pedigree doctor`: what could keep the chain from running, each with what to do about it.

In: this machine and this folder. Out: a line per check; exit code 5 when one fails. In between: nothing is changed,
no heavy library is imported, and a check that cannot be made says so.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from components.core.lock import STATE, holder

REGISTRATION = Path("data/register/version.json")

_GOOD, _BAD, _NOTE = "ok", "FAIL", "note"
_NEEDED_GB = 2.0
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: ``verdict`` is "ok", "note" (works, but know it) or "FAIL"."""

    name: str
    verdict: str
    found: str
    fix: str = ""


def doctor() -> int:
    """Print every finding; returns 0, or 5 when a check failed."""
    findings = [finding for check in _CHECKS for finding in check()]
    for finding in findings:
        print(f"{finding.verdict:4}  {finding.name:12} {finding.found}")
        if finding.fix:
            print(f"{'':18} → {finding.fix}")
    return 5 if any(finding.verdict == _BAD for finding in findings) else 0


def _python() -> Iterator[Finding]:
    is_good = (3, 11) <= sys.version_info[:2] < (3, 14)
    fix = "" if is_good else "make the environment again: `make clean run PYTHON=python3.12`"
    yield Finding("Python", _GOOD if is_good else _BAD, f"{platform.python_version()} at {sys.executable}", fix)
    if sys.dont_write_bytecode:
        yield Finding("bytecode", _NOTE, "PYTHONDONTWRITEBYTECODE is set: first imports are slow", "unset it")


def _libraries() -> Iterator[Finding]:
    lock = Path("requirements.lock")
    if not lock.exists():
        yield Finding("libraries", _NOTE, "no requirements.lock to compare with")
        return
    wrong = list(other_versions(lock))
    fix = "" if not wrong else "`make install` puts the locked versions in place"
    found = "; ".join(wrong[:5]) + ("; …" if len(wrong) > 5 else "") if wrong else "as requirements.lock has them"
    yield Finding("libraries", _NOTE if wrong else _GOOD, found, fix)


def other_versions(lock: Path) -> Iterator[str]:
    """The libraries that are not installed as a lock has them, a line each."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    for line in lock.read_text(encoding="utf-8").splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate():
                wanted, found = str(requirement.specifier).removeprefix("=="), _installed(requirement.name)
                if found is None or Version(found) != Version(wanted):
                    yield f"{requirement.name} {found or 'is missing'}, locked {wanted}"


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _disk() -> Iterator[Finding]:
    free_gb = shutil.disk_usage(Path()).free / 1e9
    is_enough = free_gb >= _NEEDED_GB
    fix = "" if is_enough else "free some space; `dvc gc -w` removes results that nothing refers to"
    yield Finding("disk", _GOOD if is_enough else _BAD, f"{free_gb:.1f} GB free", fix)
    if not os.access(Path(), os.W_OK):
        yield Finding("folder", _BAD, "not writable", "work in a folder of your own")


def _walls() -> Iterator[Finding]:
    from components.core.sandbox import landlock_version

    version = landlock_version()
    found = f"Landlock {version}" if version else "no Landlock: reads of Polars and Arrow are not watched"
    fix = "" if version else "Linux 5.13 or newer has it"
    yield Finding("sandbox", _GOOD if version else _NOTE, found, fix)


def _processor() -> Iterator[Finding]:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().partition("flags")[2].partition("\n")[0].split()) if cpuinfo.exists() else set()
    present = [feature for feature in _FEATURES if feature in flags]
    found = f"{os.cpu_count()} cores, {', '.join(present) or 'features unknown'}"
    yield Finding("processor", _GOOD, found)


def _drivers() -> Iterator[Finding]:
    git = shutil.which("git")
    checkout = any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents))
    found = f"{git or 'not installed'}; this is {'a' if checkout else 'no'} checkout"
    yield Finding("git", _GOOD if git or not checkout else _NOTE, found)
    from components.core.errors import PedigreeError
    from flows.graph import open_repo, planned_stages

    try:
        with open_repo() as repo:
            yield Finding("DVC", _GOOD, f"{importlib.metadata.version('dvc')}, {len(planned_stages(repo))} stages")
    except PedigreeError as error:
        yield Finding("DVC", _BAD, error.found, error.fix)


def _params() -> Iterator[Finding]:
    from components.__main__ import PINS, check_params
    from components.core.errors import PedigreeError

    try:
        check_params()
        yield Finding("params.yaml", _GOOD, "every value is one that it may be")
    except PedigreeError as error:
        yield Finding("params.yaml", _BAD, f"{error.where}: {error.found}; expected {error.expected}", error.fix)
    missing = [str(path) for path in PINS.values() if not path.exists()]
    if len(missing) == len(PINS):
        yield Finding("sources", _NOTE, "not pinned yet: the next run does it")
    elif missing:
        yield Finding("sources", _BAD, f"{missing[0]} is missing", "`pedigree refresh` makes it")
    else:
        yield Finding("sources", _GOOD, "pinned")


def _holder() -> Iterator[Finding]:
    held = holder()
    if held:
        fix = f"wait until it ends, or stop it with `kill {held['pid']}`"
        yield Finding("workspace", _NOTE, f"held by `{held['command']}` (process {held['pid']})", fix)
    else:
        yield Finding("workspace", _GOOD, "free")
        yield from _leftovers()


def _leftovers() -> Iterator[Finding]:
    scratch = [path.name for path in (STATE / "scratch").glob("*")]
    if scratch:
        yield Finding("leftovers", _NOTE, f"half-done work of {', '.join(scratch)}", "the next run removes it")
    parts = [path for path in Path(".dvc/cache").rglob("*.tmp") if path.is_file()]
    if parts:
        yield Finding("leftovers", _NOTE, f"{len(parts)} half-written files in .dvc/cache", "`dvc gc -w` removes them")


def _champion() -> Iterator[Finding]:
    from components.core.errors import PedigreeError
    from components.registry import find_faults
    from flows.generate import model_name

    try:
        faults = [*find_faults(model_name()), *_find_lost(model_name())]
    except (PedigreeError, KeyError, TypeError):
        return  # no params to know the model's name by: told above
    for fault in faults:
        fix = "`pedigree promote` puts aliases right; `pedigree rollback` goes back to the champion before"
        yield Finding("champion", _BAD, fault, fix)
    if not faults:
        yield Finding("champion", _GOOD, "alias, ledger and every byte agree, or there is none yet")


def _find_lost(name: str) -> Iterator[str]:
    """The version that this workspace registered last, where the registry has it no more: its alias went with it."""
    from components.core.files import read_json
    from components.registry import list_versions

    if not REGISTRATION.exists():
        return
    registered, known = read_json(REGISTRATION), {version.digest for version in list_versions(name)}
    if registered["name"] == name and registered["digest"] not in known:
        yield f"version {registered['digest'][:16]} of this workspace is gone: `pedigree run` brings it back"


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python, _libraries, _disk, _walls, _processor, _drivers, _params, _champion, _holder,
)  # fmt: skip
