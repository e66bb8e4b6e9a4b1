"""`pedigree serve` over the real registry: the promoted version answers, a damaged or absent registry does not."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager

import pytest

from components.core import params
from tests.components.registry.servers import Proxy, free_port
from tests.components.registry.test_server import wait_for
from tests.components.serve.test_bad_input import assert_refused
from tests.components.serve.world import Server
from tests.worlds import clone_workspace

pytestmark = pytest.mark.slow


@contextmanager
def serving(workspace, *arguments, **environment):
    log, environment = workspace.root / "serve.log", workspace.environment(**environment)
    command = [sys.executable, "-m", "flows.cli", "serve", "--port", "0", *arguments]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=workspace.root, env=environment, stderr=file, stdout=file)
    try:
        yield Server(process, log)
        process.terminate()
        assert process.wait(timeout=30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "raceback" not in log.read_text(), log.read_text()


def test_the_champion_answers_as_pedigree_generate_tells_and_shows_its_page(built):
    with serving(built) as server:
        server.wait_ready()
        name = server.client.get("/v1/models").json()["data"][0]["id"]
        body = {"model": name, "prompt": "The mean of", "max_tokens": 20, "temperature": 0}
        text = server.client.post("/v1/completions", json=body).json()["choices"][0]["text"]
        told = built.python("-m", "flows.cli", "generate", "The mean of", "--tokens", "20", "--temperature", "0")
        assert f"The mean of{text}\n" in told.stdout
        origin = server.client.get(f"/v1/models/{name}").json()
        assert origin["digest"] in origin["card"]
        assert origin["pedigree"]["predicate"]["buildDefinition"]["resolvedDependencies"]
        page = server.client.get(f"/versions/{origin['version']}")
        assert "where it comes from" in page.text
        assert "default-src 'none'" in page.text
        applications = server.client.get("/v1/applications").json()["data"]
        answered = [entry for entry in applications if entry["answered"]]
        assert {entry["id"] for entry in answered} == learned_by_recipe(built) | {"grammar"}
        for entry in answered:
            answer = server.client.post(f"/v1/applications/{entry['id']}", json=entry["example"])
            assert answer.status_code == 200, answer.text
            assert answer.json()["model"] == origin["version"]
        assert "tensorflow" not in maps(server)


def learned_by_recipe(workspace):
    models = params.load(workspace.root / "params.yaml")["finetune"].values()
    return {name for model in models for name in model["applications"]}


def maps(server):
    """Paths of the libraries that the server has loaded: it needs no TensorFlow, so it starts in a second."""
    return (server.process_folder() / "maps").read_text()


def move_registry(database, before, after):
    """Let a copied registry mean the copied files: MLflow keeps absolute paths."""
    with sqlite3.connect(database) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in connection.execute(f"pragma table_info('{table}')").fetchall():
                if "CHAR" in kind or "TEXT" in kind:
                    connection.execute(f'update "{table}" set "{column}" = replace("{column}", ?, ?)', (before, after))


def test_a_damaged_version_and_a_registry_that_is_away_keep_the_server_up_but_not_ready(built, tmp_path):
    workspace = clone_workspace(built, tmp_path / "workspace")
    registry = workspace.root / ".pedigree" / "mlflow"
    move_registry(registry / "mlflow.db", str(built.root), str(workspace.root))
    weights = next(registry.rglob("weights.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with serving(workspace) as server:
        server.wait_until(lambda: "weights.safetensors" in server.log)
        assert_refused(server.client.get("/readyz"), 503)
        shutil.move(registry, tmp_path / "away")
        server.wait_until(lambda: "no version" in server.log)
        assert_refused(server.client.get("/v1/models/any"), 503)
        assert server.client.get("/healthz").status_code == 200


@contextmanager
def registry_server(workspace):
    """The port of MLflow's own server over the registry of a workspace."""
    port = free_port()
    command = [sys.executable, "-m", "flows.cli", "ui", "models", "--port", str(port)]
    process = subprocess.Popen(command, cwd=workspace.root, env=workspace.environment(), start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}", process)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_registry_that_takes_connections_and_never_answers_is_told_and_holds_up_nothing(built):
    silence = "the registry has not answered"
    with registry_server(built) as port, Proxy(port) as proxy:
        proxy.is_silent = True
        with serving(built, MLFLOW_TRACKING_URI=proxy.address) as server:
            assert_refused(server.client.get("/readyz"), 503, "No version can answer yet")
            server.wait_until(lambda: silence in server.log)
            assert server.client.get("/healthz").status_code == 200
            proxy.is_silent = False
            server.wait_ready()
            server.wait_until(lambda: server.metric("pedigree_trouble") == 0)
            name = server.client.get("/v1/models").json()["data"][0]["id"]
            proxy.is_silent, taken = True, proxy.taken
            server.wait_until(lambda: proxy.taken > taken and server.log.count(silence) == 2)
            for _ in range(5):
                body = {"model": name, "prompt": "The mean of", "max_tokens": 5}
                assert server.client.post("/v1/completions", json=body).status_code == 200
                assert server.client.get("/healthz").status_code == server.client.get("/readyz").status_code == 200
            assert server.metric("pedigree_trouble") == 1
