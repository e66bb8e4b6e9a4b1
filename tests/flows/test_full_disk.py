"""A disk that fills up while the chain runs: told in a sentence, nothing half-done under a final name."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds import make_workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own takes the right to mount one")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_room(small_disk: Path, prefect_url: str) -> None:
    workspace = make_workspace(small_disk / "workspace")
    workspace.pedigree("run", "preprocess", PREFECT_API_URL=prefect_url)
    filler = fill(small_disk)
    done = workspace.pedigree("run", check=False, PREFECT_API_URL=prefect_url)
    assert done.returncode in (1, 5), done.stdout
    assert "no space left" in done.stdout.lower()
    assert "Traceback" not in done.stdout
    filler.unlink()
    done = workspace.pedigree("run", "tokenizer", PREFECT_API_URL=prefect_url)
    assert "preprocess │ ran" not in done.stdout
    assert "tokenizer │ ran" in done.stdout


def fill(folder: Path) -> Path:
    """Leave no byte free, in a file that can be removed again."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return path
