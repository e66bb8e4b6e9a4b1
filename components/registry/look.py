"""A quick look at the versions of a model, without importing MLflow.

In: a store and the name of a model. Out: its versions, or None when only MLflow itself can tell.
In between: SQLite is opened read-only, PostgreSQL is asked directly, a server over its REST interface, each with a
short time limit. The tables are read as of one moment: a version is never seen without its tags. An unknown schema,
an answer that is not understood or none at all is never taken for an empty registry.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from components.registry.store import Store

DIGEST, EVALUATION = "pedigree.digest", "pedigree.evaluation"
VERDICT = "pedigree.verdict"
OBJECTS = "pedigree.objects"
CHALLENGER, CHAMPION = "challenger", "champion"
# A model's ledger is a registered model too (``components.registry.ledger``).
LEDGER_SUFFIX = "-ledger"
_READY = "READY"
# Where MLflow puts the artifacts of a pyfunc model.
PARTS_FOLDER = "artifacts"
_SECONDS_TO_ANSWER = 2.0
_PAGE_SIZE = 200


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    ``number`` is the registry's own count and differs between registries; ``digest`` is what the version is.
    ``source`` is the logged model that it was made from, ``location`` the address of its files where that is known
    ('' behind a server).
    """

    name: str
    number: int
    status: str
    source: str
    location: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The digest of the records that the version was made from ('' for a version that we did not make)."""
        return self.tags.get(DIGEST, "")

    @property
    def model_id(self) -> str:
        """MLflow's id of the files, by which its pages join a version and its metrics."""
        return self.source.removeprefix("models:/")

    @property
    def is_ready(self) -> bool:
        """Whether the registry says that it is complete."""
        return self.status == _READY

    @property
    def folder(self) -> Path | None:
        """The folder of its parts on this machine, or None when they are elsewhere."""
        path = self.location.removeprefix("file://")
        return Path(path) / PARTS_FOLDER if path.startswith("/") else None


def alias_of(application: str) -> str:
    """The alias of the champion of an application, or with '' of the model itself."""
    return f"{CHAMPION}-{application}" if application else CHAMPION


def subject_of(name: str, application: str) -> str:
    """What a ledger is kept of: a model, or one application of it."""
    return f"{name}-{application}" if application else name


def look(store: Store, name: str) -> list[Version] | None:
    """The versions called ``name``, newest first; None when this quick way cannot tell."""
    if store.database:
        return _look_into_file(store.database, name)
    if store.is_postgres:
        return _look_into_postgres(store.registry_uri, name)
    return _ask_server(store.registry_uri, name) if store.is_http else None


def names(store: Store) -> list[str] | None:
    """The names of all models; None when this quick way cannot tell."""
    if store.database:
        return _names_in_file(store.database)
    return _names_on_server(store.registry_uri) if store.is_http else None


def with_digest(versions: Iterable[Version], digest: str) -> Version | None:
    """The newest complete version of that digest."""
    return next((version for version in versions if version.digest == digest and version.is_ready), None)


def with_alias(versions: Iterable[Version], alias: str) -> Version | None:
    """The version that an alias points at."""
    return next((version for version in versions if alias in version.aliases), None)


def _look_into_file(database: Path, name: str) -> list[Version] | None:
    if not database.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            connection.execute("BEGIN")
            return list(_read_tables(connection.execute, name))
    except sqlite3.Error:
        return None


def _names_in_file(database: Path) -> list[str] | None:
    if not database.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return [str(name) for (name,) in connection.execute("SELECT name FROM registered_models ORDER BY name")]
    except sqlite3.Error:
        return None


def _names_on_server(uri: str) -> list[str] | None:
    try:
        found = _ask(uri, "registered-models/search", {"max_results": str(_PAGE_SIZE)}).get("registered_models", [])
        return sorted(str(model["name"]) for model in found)
    except (URLError, OSError, ValueError, KeyError):
        return None


def _look_into_postgres(uri: str, name: str) -> list[Version] | None:
    import psycopg

    address = f"postgresql{uri[uri.index('://') :]}"
    try:
        with psycopg.connect(address, connect_timeout=int(_SECONDS_TO_ANSWER)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            # Ours are constants; only the mark of a value differs between the two databases.
            return list(_read_tables(lambda query, values: connection.execute(query.replace("?", "%s"), values), name))
    except psycopg.Error:
        return None


def _read_tables(execute: Callable[[str, list[str]], Iterable[Any]], name: str) -> Iterator[Version]:
    tags = _grouped(execute("SELECT version, key, value FROM model_version_tags WHERE name = ?", [name]))
    aliases = _grouped(execute("SELECT version, alias, alias FROM registered_model_aliases WHERE name = ?", [name]))
    query = (
        "SELECT version, status, source, coalesce(storage_location, ''), coalesce(run_id, '') FROM model_versions "
        "WHERE name = ? AND current_stage != 'Deleted_Internal' ORDER BY version DESC"
    )
    for number, status, source, location, run_id in execute(query, [name]):
        names = tuple(sorted(aliases.get(number, {})))
        yield Version(name, number, status, source, location, run_id, names, tags.get(number, {}))


def _grouped(rows: Iterable[tuple[int, str, str]]) -> dict[int, dict[str, str]]:
    grouped: dict[int, dict[str, str]] = {}
    for number, key, value in rows:
        grouped.setdefault(number, {})[key] = value
    return grouped


def _ask_server(uri: str, name: str) -> list[Version] | None:
    try:
        aliases = _ask(uri, "registered-models/get", {"name": name})["registered_model"].get("aliases", [])
        rows = list(_ask_pages(uri, name))
        return sorted((_from_answer(row, aliases) for row in rows), key=lambda version: -version.number)
    except HTTPError as error:
        return [] if error.code == 404 and b"RESOURCE_DOES_NOT_EXIST" in error.read() else None
    except (URLError, OSError, ValueError, KeyError):
        return None


def _ask_pages(uri: str, name: str) -> Iterator[dict[str, Any]]:
    token = ""
    while True:
        wanted = {"filter": f"name='{name}'", "max_results": str(_PAGE_SIZE), "page_token": token}
        page = _ask(uri, "model-versions/search", wanted)
        yield from page.get("model_versions", [])
        token = page.get("next_page_token", "")
        if not token:
            return


def _ask(uri: str, method: str, values: Mapping[str, str]) -> dict[str, Any]:
    query = urlencode({key: value for key, value in values.items() if value})
    request = Request(f"{_without_user(uri)}/api/2.0/mlflow/{method}?{query}", headers=_credentials(uri))  # noqa: S310 - http or https
    with urlopen(request, timeout=_SECONDS_TO_ANSWER) as answer:  # noqa: S310
        return dict(json.loads(answer.read()))


def _from_answer(row: Mapping[str, Any], aliases: Iterable[Mapping[str, str]]) -> Version:
    number = int(row["version"])
    names = sorted(entry["alias"] for entry in aliases if int(entry["version"]) == number)
    tags = {tag["key"]: tag.get("value", "") for tag in row.get("tags", [])}
    run_id, source = row.get("run_id", ""), row.get("source", "")
    return Version(row["name"], number, row["status"], source, "", run_id, tuple(names), tags)


def _without_user(uri: str) -> str:
    parts = urlsplit(uri.rstrip("/"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _credentials(uri: str) -> dict[str, str]:
    parts = urlsplit(uri)
    user = parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
