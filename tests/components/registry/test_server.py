"""Behind `mlflow server` as in front of a database: the same answers, without MLflow for a quick look."""

import os
import signal
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import pytest

from components.registry import access, live, look, store, ui_command, versions
from tests.components.registry.servers import free_port
from tests.components.registry.test_live import losses
from tests.components.registry.test_live import wait_for as wait_until
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
    port = free_port()
    with serving(workspace, ui_command(port), port) as address:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            monkeypatch.setenv(name, address)
        yield address


@contextmanager
def serving(workspace, command, port):
    """The address of a server that answers; it is killed when the block ends."""
    process = subprocess.Popen(command, cwd=workspace, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
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


def test_a_server_that_is_stopped_and_started_while_a_model_trains_gets_every_number(workspace, monkeypatch, capsys):
    port = free_port()
    command, address = ui_command(port), f"http://127.0.0.1:{port}"
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(live, "_SECONDS_BETWEEN_TRIES", 0.5)

    def tell(*steps):
        begin = time.monotonic()
        for step in steps:
            run(step, {"loss": 1 / step})
        assert time.monotonic() - begin < 0.5  # a training never waits

    def is_told():
        told.append(capsys.readouterr().err)
        return "they are delivered later" in "".join(told)

    told = []
    with serving(workspace, command, port):
        run = live.open_live_run("e" * 64, {"seed": 1}, "tiny")
        tell(1, 2, 3)
        wait_until(losses, [1, 2, 3])
    tell(4, 5)
    wait_until(is_told, True)
    tell(6)
    with serving(workspace, command, port):
        wait_until(losses, [1, 2, 3, 4, 5, 6])
        tell(7)
        run.close()
        assert losses() == [1, 2, 3, 4, 5, 6, 7]
