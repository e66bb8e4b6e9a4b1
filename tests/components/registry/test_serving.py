"""A version answers prompts in a process that has never seen this project's folder."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from components.registry import access
from tests.components.registry.test_registry import NAME, registered
from tests.components.registry.world import make_world

pytestmark = pytest.mark.slow
QUESTION = {"prompt": "The model", "max_new_tokens": 5, "temperature": 0.0, "seed": 3}
PROGRAM = """
import json, sys, mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = [json.loads(sys.argv[2]), {"prompt": ""}, json.loads(sys.argv[2])]
print("ANSWER" + json.dumps(model.predict(pandas.DataFrame(rows))["text"].tolist()))
print("CODE" + sys.modules["components.registry.prompts"].__file__)
"""


@pytest.fixture
def folder(workspace):
    """A version's files, moved away from the registry that holds them."""
    registered(workspace / "data/register", make_world(workspace / "world"))
    version = access.find_version(NAME, "challenger")
    return shutil.copytree(version.folder.parent, workspace / "version")


def environment(folder):
    # MLflow starts uvicorn by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    return {"PATH": path, "HOME": str(folder.parent), "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "TF_CPP_MIN_LOG_LEVEL": "2"}  # fmt: skip


def ask(folder):
    return subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(folder), json.dumps(QUESTION)], cwd=folder.parent,
        env=environment(folder), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_a_version_answers_in_a_fresh_process_and_refuses_changed_weights(folder):
    done = ask(folder)
    assert done.returncode == 0, done.stderr
    told = {line[:4]: line for line in done.stdout.splitlines()}
    first, empty, again = json.loads(told["ANSW"].removeprefix("ANSWER"))
    assert first == again
    assert all(isinstance(text, str) for text in (first, empty))
    assert str(folder) in told["CODE"], "the code came from the project and not from the version"
    weights = folder / "artifacts/model/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    refused = ask(folder)
    assert refused.returncode != 0
    assert "weights.safetensors" in refused.stderr


def test_mlflow_models_serve_answers_on_loopback(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-P", "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", str(folder),
               "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]  # fmt: skip
    server = subprocess.Popen(command, cwd=folder.parent, env=environment(folder), start_new_session=True)
    try:
        assert len(wait_for_answer(port, server)["predictions"]) == 1
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def wait_for_answer(port, server):
    body = json.dumps({"dataframe_records": [QUESTION]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except (ConnectionError, urllib.error.URLError):
            if time.monotonic() > end or server.poll() is not None:
                raise
            time.sleep(0.5)
