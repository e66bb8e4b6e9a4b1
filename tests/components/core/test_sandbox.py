"""The walls hold against Python, native code and child processes. Each attempt runs in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.sandbox import Walls, environment, landlock_version, undeclared_path

needs_landlock = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")

_PRELUDE = """
import sys
from pathlib import Path
from components.core.sandbox import Walls, confine
inside, outside, scratch = map(Path, sys.argv[1:4])
confine(Walls(readable=(inside,), writable=(scratch,)))
"""


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """A declared folder, an undeclared one, and a scratch folder, each with a file that can be read."""
    import polars

    folders = [tmp_path / name for name in ("inside", "outside", "scratch")]
    for folder in folders:
        folder.mkdir()
        (folder / "text.txt").write_text("text")
        polars.DataFrame({"a": [1]}).write_parquet(folder / "table.parquet")
    return folders


def attempt(code: str, places: list[Path]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _PRELUDE + code, *map(str, places)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


ALLOWED = {
    "python reads an input": "(inside / 'text.txt').read_text()",
    "polars reads an input": "import polars; polars.read_parquet(inside / 'table.parquet')",
    "a child reads an input": "import subprocess; subprocess.run(['cat', inside / 'text.txt'], check=True)",
    "scratch is written": "(scratch / 'new').write_text('x'); (scratch / 'new').rename(scratch / 'newer')",
    "libraries are imported": "import numpy, pyarrow.parquet, json, ssl",
    "null is written": "open('/dev/null', 'w').write('x')",
}

REFUSED = {
    "python reads outside": "(outside / 'text.txt').read_text()",
    "python lists outside": "list(outside.iterdir())",
    "polars reads outside": "import polars; polars.read_parquet(outside / 'table.parquet')",
    "pyarrow reads outside": "import pyarrow.parquet as p; p.read_table(str(outside / 'table.parquet'))",
    "a child reads outside": "import subprocess; subprocess.run(['cat', outside / 'text.txt'], check=True)",
    "an input is written": "(inside / 'text.txt').write_text('x')",
    "a new file outside": "(outside / 'new').write_text('x')",
    "a file is moved out": "(scratch / 'text.txt').rename(outside / 'moved')",
    "an input is removed": "(inside / 'text.txt').unlink()",
    "TCP is opened": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "a link leads outside": "(scratch / 'l').symlink_to(outside / 'text.txt'); (scratch / 'l').read_text()",
}


@needs_landlock
@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_declared_works(name: str, places: list[Path]) -> None:
    done = attempt(ALLOWED[name], places)
    assert done.returncode == 0, done.stderr


@needs_landlock
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_declared_is_refused(name: str, places: list[Path]) -> None:
    done = attempt(REFUSED[name], places)
    assert done.returncode != 0
    assert "ermission denied" in done.stderr or "Operation not permitted" in done.stderr


@pytest.mark.parametrize("name", ["python reads outside", "python lists outside"])
def test_without_landlock_the_audit_hook_refuses_and_says_what_it_misses(name: str, places: list[Path]) -> None:
    code = _PRELUDE.replace("confine(", "sandbox.landlock_version = lambda: 0\nconfine(").replace(
        "import sys\n", "import sys\nfrom components.core import sandbox\n", 1
    )
    command = [sys.executable, "-c", code + REFUSED[name], *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr
    assert "no Landlock" in done.stderr


def test_the_refused_path_is_named_from_python_and_from_native_messages(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("x")
    walls = Walls(readable=(), writable=())
    assert undeclared_path(PermissionError(13, "Permission denied", str(secret)), walls) == secret
    assert undeclared_path(RuntimeError(f"Permission denied (os error 13): {secret}"), walls) == secret
    assert undeclared_path(RuntimeError(f"no column in {secret}"), walls) is None


def test_the_environment_of_a_stage_does_not_depend_on_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("LANG", "tr_TR.UTF-8")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    given = environment(tmp_path, tmp_path / "kernels", {"DECLARED": "yes"})
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["PYTHONHASHSEED"] == "0"
    assert seen["LANG"] == "C.UTF-8"
    assert seen["DECLARED"] == "yes"
    assert set(seen) - set(given) <= {"LC_CTYPE"}
