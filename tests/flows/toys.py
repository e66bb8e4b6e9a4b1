"""Toy projects for the drivers: small graphs of real DVC stages that take milliseconds."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIAMOND = """
stages:
  top:
    cmd: python make.py top
    deps: [make.py]
    params: [top]
    outs: [top.txt]
    meta: {timeout_seconds: 60, retries: 0}
  left:
    cmd: python make.py left top
    deps: [top.txt]
    outs: [left.txt]
  right:
    cmd: python make.py right top
    deps: [top.txt]
    outs: [right.txt]
  bottom:
    cmd: python make.py bottom left right
    desc: The end.
    deps: [left.txt, right.txt]
    outs: [bottom.txt]
"""
# Writes NAME.txt from its inputs; waits in between when a file of seconds is there, and counts its runs.
MAKE = """
import sys, time
from pathlib import Path
name, *before = sys.argv[1:]
print(f"{name} at work", flush=True)
with open("runs.log", "a") as log:
    log.write(name + "\\n")
wait = Path(f"{name}.seconds")
if wait.exists():
    time.sleep(float(wait.read_text()))
text = "".join(Path(f"{other}.txt").read_text() for other in before)
Path(f"{name}.txt").write_text(text + name + "\\n")
"""


@dataclass(frozen=True)
class Toy:
    """A toy project in ``root``."""

    root: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``python <arguments>`` in the project; both streams are captured as one text."""
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.root, env=self.environment(**environment),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
            check=False,
        )  # fmt: skip

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start ``python <arguments>`` in a session of its own."""
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=self.root, env=self.environment(**environment), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def pedigree(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.run("-m", "flows.cli", *arguments, **environment)

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run DVC's command line."""
        return self.run("-m", "dvc", *arguments)

    def environment(self, **extra: str) -> dict[str, str]:
        """A clean environment in which ``python`` is this interpreter and ``flows`` is this checkout's."""
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1",
                **extra}  # fmt: skip

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.root / name
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    @property
    def lock(self) -> bytes:
        """The bytes of dvc.lock."""
        return (self.root / "dvc.lock").read_bytes()

    @property
    def runs(self) -> list[str]:
        """The stages that ran, in the order in which they began."""
        log = self.root / "runs.log"
        return log.read_text().split() if log.exists() else []


def make_toy(root: Path, graph: str = DIAMOND) -> Toy:
    """A project that is no git checkout, with nothing built."""
    (root / ".dvc").mkdir(parents=True)
    toy = Toy(root)
    toy.write(".dvc/config", "[core]\n    analytics = false\n    site_cache_dir = .pedigree/dvc\n")
    toy.write(".dvc/config.local", "[core]\n    no_scm = true\n")
    toy.write("dvc.yaml", graph)
    toy.write("params.yaml", "top: 1\n")
    toy.write("make.py", MAKE)
    return toy
