"""Behind `mlflow server`, with a password and without: as in front of a database, and quick to look into."""

import os
import signal
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import pytest

from components.core.errors import RegistryError
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
PASSWORD, WRONG = "a long pass phrase of nobody", "a wrong one"
AUTHENTICATION = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/users.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture
def server(workspace, monkeypatch):
    """The pages and the REST interface of the workspace's registry, behind a password that this process knows."""
    port = free_port()
    (workspace / "users.ini").write_text(AUTHENTICATION.format(folder=workspace, password=PASSWORD))
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", f"{workspace}/users.ini")
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "s" * 32)
    with serving(workspace, [*ui_command(port), "--app-name", "basic-auth"], port) as address:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            monkeypatch.setenv(name, address)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
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


def test_a_registry_behind_a_server_with_a_password_is_filled_judged_and_looked_into_quickly(
    server, workspace, quick_code, monkeypatch, capfd
):
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

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", WRONG)
    assert look.look(store.find_store(), NAME) is None
    with pytest.raises(RegistryError, match=r"401|[Nn]ot authenticated"):
        access.list_versions(NAME)
    printed = "".join(capfd.readouterr())
    assert not [word for word in (PASSWORD, WRONG) if word in printed]
    kept = [path for path in workspace.rglob("*") if path.is_file() and path.name != "users.ini"]
    assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]


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
