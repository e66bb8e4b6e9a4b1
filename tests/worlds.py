"""Small worlds for tests: a copy of the project in a folder of its own, with a recipe, driven for real.

In: an empty folder. Out: a Workspace whose commands run the copied code. In between: nothing of the real
checkout is written, and the built chain is made once per test session.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from components.__main__ import ROOMS, stages
from components.core.params import load

ROOT = Path(__file__).resolve().parents[1]
_COPIED = (
    "components",
    "flows",
    "infra",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "pyproject.toml",
    "requirements.lock",
)
SHARED_DATA = Path(os.environ.get("PEDIGREE_SHARED", ROOT.parent / "shared")) / "data"


Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Workspace:
    """A copy of the project in ``root``; commands run there with the copied code."""

    root: Path

    def python(self, *arguments: str, check: bool = True, timeout: float = 600, **environment: str) -> Done:
        """Run ``python <arguments>`` in the workspace, its output captured as text."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.root, env=self.environment(**environment),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout}")
        return done

    def pedigree(self, *arguments: str, check: bool = True, **environment: str) -> Done:
        """Run the command line, ``pedigree <arguments>``."""
        return self.python("-m", "flows.cli", *arguments, check=check, **environment)

    def dvc(self, *arguments: str, check: bool = True, **environment: str) -> Done:
        """Run ``dvc <arguments>``."""
        return self.python("-m", "dvc", *arguments, check=check, **environment)

    def stage(self, name: str, *arguments: str, check: bool = True, **environment: str) -> Done:
        """Run one stage by hand, ``python -m components <name> <arguments>``."""
        return self.python("-m", "components", name, *arguments, check=check, **environment)

    def environment(self, **extra: str) -> dict[str, str]:
        """A clean environment with its own empty home, in which ``python`` is this interpreter."""
        home = self.root / ".home"
        home.mkdir(exist_ok=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
        return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "DVC_NO_ANALYTICS": "1", **extra}

    def replace(self, file: str, old: str, new: str) -> None:
        """Change a text in a file of the workspace; it must be there exactly as given."""
        path = self.root / file
        text = path.read_text()
        if old not in text:
            raise AssertionError(f"{old!r} does not stand in {file}")
        path.write_text(text.replace(old, new, 1))


def stages_of(recipe: str = "debug") -> list[str]:
    """The names of the stages of a recipe."""
    return stages(load(ROOT / "infra" / "recipes" / f"{recipe}.yaml"))


def kinds_of_stages() -> list[str]:
    """Every stage of the debug recipe; of those that are taken once for each key, the first alone."""
    names, first = stages_of(), dict[str, str]()
    for name in names:
        first.setdefault(f"{name.partition('@')[0]}@", name)
    return [name for name in names if f"{name.partition('@')[0]}@" not in ROOMS or name in first.values()]


def make_workspace(folder: Path, recipe: str = "debug") -> Workspace:
    """Copy the project into ``folder`` with ``recipe`` as params.yaml; nothing is built yet."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in _COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name, **({"ignore": ignore} if source.is_dir() else {}))
    (folder / ".dvc").mkdir()
    shutil.copy2(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    shutil.copy2(ROOT / "infra" / "recipes" / f"{recipe}.yaml", folder / "params.yaml")
    return Workspace(folder)


def clone_workspace(built: Workspace, folder: Path) -> Workspace:
    """A second workspace with everything that ``built`` holds, results and caches included."""
    shutil.copytree(built.root, folder, symlinks=True)
    return Workspace(folder)
