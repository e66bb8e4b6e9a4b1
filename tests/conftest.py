"""What all tests share: the debug chain, built once by the Prefect flow, and copies of it."""

from pathlib import Path

import pytest

from tests.worlds import Workspace, clone_workspace, make_workspace


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The whole debug chain, built for real by ``pedigree run``; nobody may change it: take ``chain``."""
    workspace = make_workspace(tmp_path_factory.mktemp("built") / "workspace")
    workspace.pedigree("run")
    return workspace


@pytest.fixture
def chain(built: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the built debug chain that a test may do with as it likes."""
    return clone_workspace(built, tmp_path / "workspace")
