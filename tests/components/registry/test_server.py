"""Behind `mlflow server` as in front of a database: the same answers, without MLflow for a quick look."""

import os
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from components.registry import access, look, store, ui_command, versions
from tests.components.registry.test_registry import (
    NAME,
    client,
    is_current,
    is_judged,
    promoted,
    registered,
)
from tests.components.registry.world import make_world

pytestmark = pytest.mark.slow


@pytest.fixture
def server(workspace, monkeypatch):
    """The pages and the REST interface of the workspace's registry, as `pedigree ui` serves them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(ui_command(port), cwd=workspace, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            monkeypatch.setenv(name, address)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(address, process):
    end = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < end:
        try:
            return urllib.request.urlopen(f"{address}/health", timeout=5).read()
        except OSError:
            time.sleep(0.3)
    raise AssertionError("the server did not start")


def test_a_registry_behind_a_server_is_filled_once_and_looked_into_quickly(server, workspace, quick_code):
    inputs, output = make_world(workspace / "world"), workspace / "data/register"
    assert look.look(store.find_store(), NAME) == []
    digest = registered(output, inputs)
    registered(output, inputs)
    begin = time.monotonic()
    assert is_current(output, inputs)
    assert time.monotonic() - begin < 1
    assert not is_judged(workspace, inputs, digest)
    promoted(workspace, inputs, digest)
    assert is_judged(workspace, inputs, digest)
    (seen,), (told,) = look.look(store.find_store(), NAME), versions.list_versions(client(), NAME)
    assert (seen.number, seen.status, seen.source, seen.run_id, seen.aliases, dict(seen.tags)) == (
        told.number, told.status, told.source, told.run_id, told.aliases, dict(told.tags)
    )  # fmt: skip
    assert access.load(NAME).digest == digest
