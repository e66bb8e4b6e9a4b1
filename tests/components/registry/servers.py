"""Real servers for the registry's tests: PostgreSQL from its binaries, in a folder and under a user of its own; S3."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
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


class Proxy:
    """A port in front of a server on loopback. While ``is_silent``, it takes connections and passes nothing on.

    Attributes:
        taken: how many connections it has taken.
    """

    def __init__(self, port):
        self._target, self._speaks, self.taken = ("127.0.0.1", port), threading.Event(), 0
        self._speaks.set()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def is_silent(self):
        return not self._speaks.is_set()

    @is_silent.setter
    def is_silent(self, value):
        (self._speaks.clear if value else self._speaks.set)()

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._speaks.set()

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.taken += 1
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near):
        self._speaks.wait()
        with suppress(OSError), near, socket.create_connection(self._target) as far:
            threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()
            self._pass_on(far, near)

    def _pass_on(self, source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                self._speaks.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


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
