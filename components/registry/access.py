"""Versions for whoever uses them: listed, loaded with every byte checked, shown in MLflow's own pages.

In: the name of a model and what to load of it. Out: plain values and a folder. In between: the quick look where it
can tell, MLflow where it cannot; nothing is handed out before its digest is checked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Set
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from components.core.errors import RegistryError
from components.registry import look
from components.registry.contents import Contents, share_equal
from components.registry.look import CHAMPION, LEDGER_SUFFIX, Version
from components.registry.store import FOLDER, connect, explained, find_store

if TYPE_CHECKING:
    from components.registry.ledger import Entry, Ledger


def list_versions(name: str) -> list[Version]:
    """All versions called ``name``, newest first. Raises RegistryError."""
    store = find_store()
    found = look.look(store, name)
    if found is not None:
        return found
    with explained(store):
        from components.registry import versions

        return versions.list_versions(connect(store), name)


def list_models() -> list[str]:
    """The names of all registered models but their ledgers. Raises RegistryError."""
    return [name for name in _names() if not name.endswith(LEDGER_SUFFIX)]


def read_ledger_quickly(name: str, application: str = "") -> Ledger:
    """The ledger of a model, or of an application of it. Raises RegistryError where it is out of reach or was tampered
    with."""
    from components.registry.ledger import ledger_name, read_ledger
    from components.registry.promotion import memory

    subject = look.subject_of(name, application)
    return read_ledger(subject, lambda: list_versions(ledger_name(subject)), memory(find_store(), subject))


def champion(name: str, application: str = "") -> Version | None:
    """The champion by the ledger, or None while there is none. Raises RegistryError when its version is gone.

    With an application, its own champion.
    """
    digest = read_ledger_quickly(name, application).champion_digest
    if not digest:
        return None
    return look.with_digest(list_versions(name), digest) or _raise_lost(look.subject_of(name, application), digest)


def find_version(name: str, which: str = CHAMPION) -> Version:
    """The version with the alias, the number or the beginning of a digest ``which``. Raises RegistryError.

    ``champion-NAME`` is that of an application. Who is champion is asked of the signed ledger, not of the alias, which
    anybody with a browser can move.
    """
    of_champion, _, application = which.partition("-")
    is_champion = of_champion == CHAMPION
    if is_champion and (found_champion := champion(name, application)):
        return found_champion
    versions = list_versions(name)
    found = [v for v in versions if (which in v.aliases and not is_champion) or which == str(v.number)] or [
        v for v in versions if len(which) >= 6 and v.digest.startswith(which)
    ]
    if len({version.digest for version in found}) == 1:
        return found[0]
    known = ", ".join(f"{v.number} ({', '.join([*v.aliases, v.digest[:12]])})" for v in versions) or "none yet"
    raise RegistryError(
        f"model registry {find_store()}", found=f"{len(found)} versions of {name} for {which!r}",
        expected=f"one of: {known}", fix="name one of these, or run `pedigree run` to make one",
    )  # fmt: skip


def folder_of(version: Version) -> Path:
    """The folder that holds the parts of a version, fetched where it is elsewhere; nothing in it is checked yet."""
    return version.folder or _fetch(version)


def load(name: str, which: str = CHAMPION) -> Contents:
    """The folders of a version, every byte checked against its digest. Raises RegistryError.

    They are the registry's own where it keeps them on this machine, a copy below ``.pedigree/mlflow`` otherwise:
    to be read, never written.
    """
    version = find_version(name, which)
    contents = Contents.below(folder_of(version))
    contents.check(version.digest, f"{name} version {version.number}")
    return contents


def _applications_of(name: str) -> list[str]:
    """The applications of a model that have a ledger of their own."""
    names = _names()
    found = (re.fullmatch(f"({re.escape(name)}-(.+)){LEDGER_SUFFIX}", one) for one in names)
    # Another model may be called like an application of this one; its ledger is its own.
    return [match[2] for match in found if match and match[1] not in names]


def _names() -> list[str]:
    store = find_store()
    found = look.names(store)
    if found is None:
        with explained(store):
            found = sorted(str(model.name) for model in connect(store).search_registered_models(max_results=1000))
    return found


def ui_command(port: int = 5000) -> list[str]:
    """The command that serves MLflow's pages on this machine alone: one worker, no jobs, nobody phoned."""
    store = find_store()
    if store.is_http:
        raise RegistryError(f"model registry {store}", found="a server that runs already", expected="a database",
                            fix=f"open {store} in a browser")  # fmt: skip
    settings = ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=1"]
    server = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    where = ["--backend-store-uri", store.tracking_uri, "--registry-store-uri", store.registry_uri]
    return ["env", *settings, *server, *where, "--default-artifact-root", str(store.artifacts)]


def _fetch(version: Version) -> Path:
    store = find_store()
    with explained(store):
        from components.registry import versions

        connect(store)
        return versions.fetch(version, FOLDER / "fetched" / version.digest)


def _raise_lost(name: str, digest: str) -> NoReturn:
    raise RegistryError(
        f"champion of {name}", found=f"no complete version of digest {digest}", expected="the version in the ledger",
        fix="`pedigree rollback` goes back to the champion before; `pedigree run` registers what the workspace holds",
    )  # fmt: skip


def share_files(name: str, contents: Contents) -> None:
    """Make the files of versions hard links where they are on one disk, so that equal bytes lie there once.

    Parts share the workspace's files, and what else is equal is shared with the version before. A version is checked
    against its digest whenever it is loaded, so a link is as safe as a copy.
    """
    folders = {version.digest: version.folder for version in list_versions(name) if version.is_ready and version.folder}
    if contents.digest in folders:
        contents.share_with(folders[contents.digest])
    for newer, older in pairwise(folders.values()):
        share_equal(older.parent, newer.parent)


def decide(name: str, *, agree: bool, application: str = "") -> Entry:
    """A person's answer to the proposal that waits; returns the entry. Raises RegistryError when none waits."""
    return _with_registry(name, application, lambda promotion, registry: promotion.decide(registry, agree=agree))


def rollback(name: str, which: str | None = None, application: str = "") -> Entry:
    """Make the champion before, or another version, champion again, checked first. Raises RegistryError."""
    return _with_registry(name, application, lambda promotion, registry: promotion.rollback(registry, which))


def find_faults(name: str) -> Iterator[str]:
    """What is wrong with a ledger, a champion, or a version behind another alias of a model, in words."""
    applications = ["", *_applications_of(name)]
    for application in applications:
        yield from _find_faults_of_champion(name, application)
    yield from _find_faults_behind_aliases(name, {look.alias_of(application) for application in applications})


def _find_faults_of_champion(name: str, application: str) -> Iterator[str]:
    alias = look.alias_of(application)
    try:
        known = read_ledger_quickly(name, application)
        if not known.champion_digest:
            return
        shown = look.with_alias(list_versions(name), alias)
        if shown is None or shown.digest != known.champion_digest:
            yield f"the alias {alias} names {f'version {shown.number}' if shown else 'nobody'}, the ledger another"
        load(name, alias)
    except RegistryError as error:
        yield _in_words(error)


def _find_faults_behind_aliases(name: str, of_champions: Set[str]) -> Iterator[str]:
    for version in list_versions(name):
        for alias in set(version.aliases) - of_champions:
            try:
                load(name, alias)
            except RegistryError as error:
                yield f"alias {alias}, {_in_words(error)}"


def _in_words(error: RegistryError) -> str:
    return f"{error.where}: {error.found}; expected {error.expected}"


def _with_registry(name: str, application: str, act: Callable[[Any, Any], Entry]) -> Entry:
    store = find_store()
    with explained(store):
        from components.registry import promotion

        return act(promotion, promotion.Registry(connect(store), store, name, application))
