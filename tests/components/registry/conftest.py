"""A registry of its own for each test, copied from one that was made once: making its tables takes seconds."""

import shutil

import pytest

from components.core.lock import WORKSPACE_VARIABLE
from components.registry import store, versions
from tests.components.registry.servers import ABSENT, has_postgres, postgres


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory):
    """A database with MLflow's tables and nothing in them."""
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    address = f"sqlite:///{database}"
    store.connect(store.Store(address, address, database.parent)).search_experiments()
    return database


@pytest.fixture
def workspace(tmp_path, monkeypatch, empty_registry):
    """A workspace with an empty registry in its usual place."""
    for name in store.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    database = tmp_path / store.FOLDER / "mlflow.db"
    database.parent.mkdir(parents=True)
    shutil.copyfile(empty_registry, database)
    return tmp_path


@pytest.fixture(scope="session")
def code_once(tmp_path_factory):
    """The code that goes into versions, copied once: finding out what it is takes most of a registration."""
    folder = tmp_path_factory.mktemp("code")
    versions._copy_code(folder)
    return folder


@pytest.fixture
def quick_code(monkeypatch, code_once):
    """Versions made in this test get that code, and name no libraries."""

    def copy(folder):
        shutil.copytree(code_once, folder)
        return ["mlflow"]

    monkeypatch.setattr(versions, "_copy_code", copy)


@pytest.fixture(scope="session")
def postgres_address():
    """A PostgreSQL server from its binaries, with MLflow's tables."""
    if not has_postgres():
        pytest.skip(ABSENT)
    with postgres() as address:
        store.connect(store.Store(address, address, None)).search_experiments()
        yield address
