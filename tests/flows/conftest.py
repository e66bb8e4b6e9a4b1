"""What the tests of the drivers share: a toy project, and one Prefect server for all of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flows.server import LocalServer
from tests.flows.toys import Toy, make_toy


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """The diamond, nothing built."""
    return make_toy(tmp_path / "toy")


@pytest.fixture
def project(toy: Toy) -> Iterator[Toy]:
    """The diamond as this process's current folder, in surroundings of its own, which are gone after the test."""
    with _inside(toy):
        yield toy


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that all toy projects may use: each of its own would cost twenty seconds."""
    with ExitStack() as stack:
        with _inside(make_toy(tmp_path_factory.mktemp("server") / "toy")):
            server = stack.enter_context(LocalServer())
            url = server.wait()
        yield url
        os.environ["PREFECT_API_URL"] = url  # the end of the server takes it away


@contextmanager
def _inside(toy: Toy) -> Iterator[None]:
    """This process in a toy's folder with its surroundings; both are as before afterwards."""
    from flows.environment import prepare

    before, environment = Path.cwd(), dict(os.environ)
    try:
        os.chdir(toy.root)
        os.environ.clear()
        os.environ.update(toy.environment())
        prepare()
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)
