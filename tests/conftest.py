"""What all tests share: the debug chain, built once by the Prefect flow, and copies of it."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.core.execute import CODE_ROOT
from components.core.fingerprints import Sources
from components.core.lock import STATE
from tests.worlds import Workspace, clone_workspace, make_workspace

# Numba does not see that a function called from another file changed: tests keep compiled code as stages do.
os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(CODE_ROOT / STATE / "kernels" / Sources(CODE_ROOT).fingerprint("preprocess").digest[:32])
)


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all processes of this test session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@pytest.fixture(scope="session")
def built(session_folder: Path) -> Workspace:
    """The whole debug chain, built for real by ``pedigree run``; nobody may change it: take ``chain``."""
    return Workspace(build_once(session_folder / "built", lambda folder: make_workspace(folder).pedigree("run")))


@pytest.fixture
def chain(built: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the built debug chain that a test may do with as it likes."""
    return clone_workspace(built, tmp_path / "workspace")


def build_once(folder: Path, build: Callable[[Path], object]) -> Path:
    """Build a folder that all processes of this test session share: the first builds, the others wait for it."""
    done = folder.with_suffix(".done")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            build(folder)
            done.touch()
    return folder
