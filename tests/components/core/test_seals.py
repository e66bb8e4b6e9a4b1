"""A byte changed under an unchanged size and time is found."""

import os
from pathlib import Path

from components.core.records import Record, describe_files
from components.core.seals import expose_silent_changes


def make_output(folder: Path) -> Path:
    folder.mkdir(parents=True)
    file = folder / "a.bin"
    file.write_bytes(b"abc")
    entries = describe_files(folder)
    Record(stage="toy", execution="e", fingerprint="f", params={}, inputs={}, files=entries).save(folder)
    return file


def test_a_silent_change_is_exposed_by_a_new_modification_time(tmp_path: Path) -> None:
    file = make_output(tmp_path / "data" / "toy")
    assert expose_silent_changes(tmp_path / "data", tmp_path) == []
    before = file.stat()
    file.write_bytes(b"abd")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert expose_silent_changes(tmp_path / "data", tmp_path) == [file]
    assert file.stat().st_mtime_ns != before.st_mtime_ns
    assert expose_silent_changes(tmp_path / "data", tmp_path) == [file], "told until it is mended"


def test_a_new_time_over_the_same_bytes_is_no_change(tmp_path: Path) -> None:
    file = make_output(tmp_path / "data" / "toy")
    expose_silent_changes(tmp_path / "data", tmp_path)
    os.utime(file)
    assert expose_silent_changes(tmp_path / "data", tmp_path) == []
