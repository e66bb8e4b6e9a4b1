"""Where the registry is, and the one door to MLflow.

In: ``MLFLOW_TRACKING_URI`` and ``MLFLOW_REGISTRY_URI``, or nothing. Out: addresses, and a client that is set up.
In between: by default everything lies below ``.pedigree/mlflow`` of the workspace (SQLite and a folder of
artifacts). Importing MLflow takes seconds, so it happens inside functions, after its settings are in place.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from components.core import keys
from components.core.errors import RegistryError
from components.core.lock import STATE, WORKSPACE_VARIABLE
from components.provenance import place

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What may lead to a registry, with its credentials; none of it can change an artifact.
ENVIRONMENT = (
    "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "PEDIGREE_ARTIFACTS", "MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "NO_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "no_proxy", "https_proxy", "http_proxy",
)  # fmt: skip
# `pedigree promote --require-approval` sets it for one run; promote.require_approval is the lasting rule.
APPROVAL_VARIABLE = "PEDIGREE_REQUIRE_APPROVAL"
# An address in S3 where the files of versions go; otherwise they stay beside the database.
ARTIFACTS_VARIABLE = "PEDIGREE_ARTIFACTS"
FOLDER = STATE / "mlflow"
_SQLITE = "sqlite:///"
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Store:
    """The addresses of a registry: of its runs, of its versions, and where it keeps files (None: it decides)."""

    tracking_uri: str
    registry_uri: str
    artifacts: Path | str | None

    @property
    def database(self) -> Path | None:
        """The SQLite file that holds the versions, or None when something else does."""
        return sqlite_path(self.registry_uri)

    @property
    def objects(self) -> str:
        """The address in S3 where files go by reference, '' where they go as files."""
        return self.artifacts if isinstance(self.artifacts, str) else ""

    @property
    def is_http(self) -> bool:
        """Whether the versions are behind a server."""
        return urlsplit(self.registry_uri).scheme in ("http", "https")

    @property
    def is_postgres(self) -> bool:
        """Whether the versions are in a PostgreSQL database."""
        return urlsplit(self.registry_uri).scheme.partition("+")[0] == "postgresql"

    def __str__(self) -> str:
        """The address without a password."""
        scheme, _, rest = self.registry_uri.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"


def find_store() -> Store:
    """The registry that the environment names, or the workspace's own."""
    folder = workspace() / FOLDER
    tracking = _absolute(os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{folder / 'mlflow.db'}")
    registry = _absolute(os.environ.get("MLFLOW_REGISTRY_URI") or tracking)
    if urlsplit(tracking).scheme in ("http", "https"):
        return Store(tracking, registry, None)
    database = sqlite_path(tracking)
    beside = (database.parent if database else folder) / "artifacts"
    return Store(tracking, registry, os.environ.get(ARTIFACTS_VARIABLE, "").rstrip("/") or beside)


def state_folders() -> tuple[Path, ...]:
    """The folders that a stage must be able to use: of the registry, of keys, of what was attested for it."""
    files = (sqlite_path(os.environ.get(name, "")) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"))
    return tuple(dict.fromkeys([FOLDER, keys.FOLDER, place.FOLDER, *(file.parent for file in files if file)]))


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address, or None for any other address."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def connect(store: Store) -> MlflowClient:
    """A client of the registry, which is also made the one that MLflow's functions without a client use."""
    client = make_client(store)
    import mlflow

    mlflow.set_tracking_uri(store.tracking_uri)
    mlflow.set_registry_uri(store.registry_uri)
    return client


def make_client(store: Store) -> MlflowClient:
    """A client of the registry; its first request makes a SQLite database where there is none."""
    prepare_environment()
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if database := sqlite_path(store.tracking_uri):
        database.parent.mkdir(parents=True, exist_ok=True)
    return mlflow.MlflowClient(store.tracking_uri, store.registry_uri)


def prepare_environment() -> None:
    """Set what MLflow reads when it is imported; what a user has set stays, except that nobody is phoned."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@contextmanager
def explained(store: Store) -> Iterator[None]:
    """What MLflow and its database raise inside the block, told as a RegistryError."""
    prepare_environment()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        first_line = re.sub(r"://[^/@\s]+@", "://", str(error).strip().partition("\n")[0])[:500]
        raise RegistryError(
            f"model registry {store}", found=first_line, expected="a registry that answers",
            fix="look whether it runs and may be written (`pedigree doctor`), then run again: nothing is done twice",
        ) from error  # fmt: skip


def workspace() -> Path:
    """The top folder of the workspace."""
    # A stage works in a scratch folder; whoever started it says where the workspace is.
    return Path(os.environ.get(WORKSPACE_VARIABLE) or ".").resolve()


def _absolute(uri: str) -> str:
    path = sqlite_path(uri)
    return f"{_SQLITE}{workspace() / path}" if path else uri
