"""Versions in a folder, and the real server over them, in a process of its own on a free port of loopback.

The model is tiny and random, its context is long, so that a text can take seconds.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from safetensors.numpy import save

from components.applications import APPLICATIONS
from components.core.errors import RegistryError
from components.core.examples import Asked
from components.core.files import write_json, write_whole
from components.core.records import Record, artifact_digest, describe_files, verify
from components.model import ModelConfig
from components.model.decoding import weight_shapes
from components.model.weights import CONFIG, WEIGHTS
from components.serve.applications import learned_in
from components.serve.versions import Identity, Opened
from tests.worlds import ROOT

SIZES = ModelConfig(
    vocabulary_size=300, context_tokens=16_384, width=16, num_layers=1, num_heads=2, feed_forward_width=16
)
NAME, LIST = "tiny", "versions.json"


def make_version(folder, number, *, seed=None, sizes=SIZES):
    """Files of a version: random weights, and a vocabulary learned from a sentence with other alphabets."""
    from components.tokenizer.learning import learn

    model, tokenizer = folder / str(number) / "model", folder / str(number) / "tokenizer"
    tokenizer.mkdir(parents=True)
    text = "The model reads the text. Die Lösung für ähnliche Größen. 模型读文本。🙂 " * 20
    (tokenizer / "tokenizer.json").write_text(learn([[text]], sizes.vocabulary_size, 2).to_str(), encoding="utf-8")
    _save_model(model, sizes, number if seed is None else seed)
    for stage, part in (("train", model), ("tokenizer", tokenizer)):
        Record(stage=stage, execution="e" * 64, fingerprint="f" * 64, params={}, inputs={},
               files=describe_files(part)).save(part)  # fmt: skip
    return artifact_digest(model)


def _save_model(folder, sizes, seed):
    random, shapes = np.random.default_rng(seed), weight_shapes(sizes)
    arrays = {name: random.standard_normal(shape).astype(np.float32) * 0.4 for name, shape in shapes.items()}
    write_whole(folder / WEIGHTS, save(arrays))
    write_json(folder / CONFIG, sizes.model_dump(mode="json"))


def teach(folder, number, choices, sizes=SIZES):
    """Give a version another model that learned applications: ``{name: choices}``."""
    model = folder / str(number) / "finetuned" / "assistant"
    _save_model(model, sizes, 100 + number)
    for name, texts in choices.items():
        application = APPLICATIONS[name]
        asked = Asked(application=name, decoding=application.decoding, choices=texts,
                      example=application.example.model_dump(mode="json"))  # fmt: skip
        write_whole(model / "applications" / f"{name}.json", asked.model_dump_json().encode())


def publish(folder, aliases):
    """Say which versions there are: ``{number: [aliases]}``; as a registry would, at once."""
    entries = [
        {"name": NAME, "number": number, "digest": artifact_digest(folder / str(number) / "model"), "aliases": names}
        for number, names in sorted(aliases.items(), reverse=True)
    ]
    write_json(folder / LIST, entries)


class FolderSource:
    """Versions in a folder; without its list, it is a registry that is down."""

    def __init__(self, folder):
        self._folder = folder

    def list(self):
        try:
            entries = json.loads((self._folder / LIST).read_bytes())
        except (OSError, ValueError) as error:
            raise RegistryError("folder", found=str(error), expected="a list", fix="write one") from None
        return [Identity(**{**entry, "aliases": tuple(entry["aliases"])}) for entry in entries]

    def open(self, identity):
        folder = self._folder / str(identity.number)
        verify(folder / "model")
        verify(folder / "tokenizer")
        card = f"# {identity.model}\n<script>document.title='owned'</script>\n"
        made = [{"name": "corpus <img src=x onerror=alert(1)>", "digest": {"sha256": "ab" * 32}}]
        pedigree = {"predicate": {"buildDefinition": {"resolvedDependencies": made}}}
        return Opened(folder / "model", folder / "tokenizer", card, b"<!doctype html><title>page</title>", pedigree,
                      learned_in(folder / "finetuned"))  # fmt: skip


class Server:
    """A running server: its address, its process, and what it has logged."""

    def __init__(self, process, log):
        self.process, self._log = process, log
        self.port = self._wait_for_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def _wait_for_port(self):
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            if "http://127.0.0.1:" in (text := self.log):
                return int(text.partition("http://127.0.0.1:")[2].split()[0])
            time.sleep(0.02)
        raise AssertionError(f"the server did not start:\n{self.log}")

    @property
    def log(self):
        return self._log.read_text()

    @property
    def requests(self):
        """The lines of the log that tell of requests."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "request"]

    def wait_until(self, holds, seconds=30):
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, self.log
            assert self.process.poll() is None, self.log
            time.sleep(0.02)

    def wait_ready(self):
        self.wait_until(lambda: self.client.get("/readyz").status_code == 200, seconds=120)  # may compile first
        return self

    def metric(self, name):
        """The value of a figure without labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def complete(self, prompt="The model", **options):
        return self.client.post("/v1/completions", json={"model": NAME, "prompt": prompt, "seed": 1, **options})

    def raw(self, data, seconds=30):
        """Everything that comes back for raw bytes, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    def process_folder(self):
        """What the kernel tells of the process."""
        return Path(f"/proc/{self.process.pid}")

    def memory_bytes(self):
        """What the process holds in memory."""
        fields = (self.process_folder() / "statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running(folder, log, **options):
    """The server over the versions in ``folder``; it must end by itself when it is told to."""
    command = [sys.executable, "-m", "tests.components.serve.world", str(folder), json.dumps({"port": 0, **options})]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stderr=file, stdout=file)
    try:
        yield Server(process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text(), log.read_text()
    assert "traceback" not in log.read_text(), log.read_text()


def main(folder, options):
    from components.core import params
    from components.serve import ServeConfig
    from components.serve.server import serve

    return serve(params.parse(json.loads(options), ServeConfig, "test"), FolderSource(Path(folder)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
