"""A folder of several artifacts is each of them; everything else is itself."""

from pathlib import Path

import pytest

from components.core.errors import InputError
from components.core.records import RECORD, artifact_digest, artifacts_of


def make(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / RECORD).write_text(text)


def test_a_folder_of_artifacts_counts_as_each_of_them_in_order(tmp_path: Path) -> None:
    make(tmp_path / "examples", "second", "2")
    make(tmp_path / "examples", "first", "1")
    make(tmp_path, "model", "m")
    (tmp_path / "lock.json").write_text("{}")
    inputs = {"model": tmp_path / "model", "examples": tmp_path / "examples", "sources": tmp_path / "lock.json"}
    found = artifacts_of(inputs)
    assert list(found) == ["model", "examples/first", "examples/second", "sources"]
    assert len({artifact_digest(path) for path in found.values()}) == 4


def test_an_empty_folder_is_no_artifact_and_one_with_other_things_is_refused_by_its_own_name(tmp_path: Path) -> None:
    for name in ("empty", "odd"):
        (tmp_path / name).mkdir()
    (tmp_path / "odd" / "file").touch()
    found = artifacts_of({"examples": tmp_path / "empty", "checks": tmp_path / "odd"})
    assert found == {"checks": tmp_path / "odd"}
    with pytest.raises(InputError, match="odd"):
        artifact_digest(found["checks"])
