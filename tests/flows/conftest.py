"""What the tests of the drivers share: a toy project, and one Prefect server for all of them."""

import os
from collections.abc import Iterator
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
    from flows.environment import prepare

    before, environment = Path.cwd(), dict(os.environ)
    os.chdir(toy.root)
    try:
        os.environ.clear()
        os.environ.update(toy.environment())
        prepare()
        yield toy
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that all toy projects may use: each of its own would cost twenty seconds."""
    from flows.environment import prepare

    toy = make_toy(tmp_path_factory.mktemp("server") / "toy")
    before, environment = Path.cwd(), dict(os.environ)
    os.chdir(toy.root)
    try:
        prepare()
        with LocalServer() as server:
            url = server.wait()
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(before)
            yield url
            os.environ["PREFECT_API_URL"] = url
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)
