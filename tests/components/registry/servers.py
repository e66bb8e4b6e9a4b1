"""Real servers for the registry's tests: PostgreSQL from its binaries, in a folder and under a user of its own; S3."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ABSENT = "no PostgreSQL here: `initdb` and `postgres` are not on the PATH"


def has_postgres():
    return bool(shutil.which("initdb") and shutil.which("postgres"))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def postgres():
    """The address of an empty database; the server and its folder are gone when the block ends."""
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if user:
        shutil.chown(folder, **user)
    data, port = folder / "data", free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    subprocess.run(["initdb", "-D", data, "-U", "pedigree", "-A", "trust", "--no-sync"], check=True, **quiet)
    command = [
        "postgres",
        "-D",
        data,
        "-p",
        str(port),
        "-k",
        folder,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
    ]
    server = subprocess.Popen(command, **quiet)
    try:
        wait_for(port, server)
        yield f"postgresql+psycopg://pedigree@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM would wait for whoever is still connected
        server.wait(timeout=30)
        shutil.rmtree(folder)


def wait_for(port, server):
    import psycopg

    end = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"postgresql://pedigree@127.0.0.1:{port}/postgres", connect_timeout=2).close()
            return
        except psycopg.Error:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)


@contextmanager
def s3():
    """The environment that leads to an empty S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield {"MLFLOW_S3_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test",
               "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip
    finally:
        server.stop()
