"""One server for all tests that only ask; tests that change something start their own."""

import shutil

import pytest

from tests.components.serve.world import make_version, publish, running, teach

# What version 1 learned; version 2 learned nothing.
TAUGHT = {
    "classify": ["numpy", "scipy", "<img src=x onerror=\"document.title='owned'\">"],
    "recommend": [f"item {i}" for i in range(30)],
    "summarise": [],
    "chat": [],
    "grammar": [],
}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Two versions; nobody may change them: take ``versions``."""
    folder = tmp_path_factory.mktemp("versions")
    for number in (1, 2):
        make_version(folder, number)
    teach(folder, 1, TAUGHT)
    publish(folder, {1: ["champion"], 2: ["challenger"]})
    return folder


@pytest.fixture
def versions(made, tmp_path):
    """A copy of the versions that a test may do with as it likes."""
    return shutil.copytree(made, tmp_path / "versions")


@pytest.fixture(scope="module")
def server(made, tmp_path_factory):
    """A server that follows the champion, version 1."""
    log = tmp_path_factory.mktemp("server") / "log"
    with running(
        made, log, read_seconds=2.0, timeout_seconds=30.0, num_slots=8, allowed_hosts=["mine.example"]
    ) as server:
        yield server.wait_ready()
