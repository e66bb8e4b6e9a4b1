"""Machine code is kept by fingerprint, borrowed where it is of the present code, and made by one process at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path

import numba
import pytest

from components.core import compiling
from components.core.execute import CODE_ROOT, _borrow_kernels, _name_of_kernels
from components.core.fingerprints import Sources

SHARED, OTHER = "components-model-decoding_kernels", "components-preprocess-words"


def test_a_room_borrows_what_another_compiled_of_the_present_code_and_nothing_else(tmp_path: Path) -> None:
    sources = Sources(CODE_ROOT)
    kept = {
        _name_of_kernels("evaluate", sources.fingerprint("evaluate").digest): "present",
        _name_of_kernels("preprocess", sources.fingerprint("preprocess").digest): "of a module that is not shared",
        _name_of_kernels("assess", "0" * 64): "of earlier code",
        _name_of_kernels("nowhere", "0" * 64): "of a room that is no more",
    }
    for name, text in kept.items():
        module = tmp_path / "kernels" / name / (OTHER if name.startswith("preprocess") else SHARED)
        module.mkdir(parents=True)
        (module / "advance.nbi").write_text(text)
        (module / "advance.nbi.tmp.1").write_text("half-written")
    folder = tmp_path / "kernels" / "registry-now"
    for made in (folder, tmp_path / "scratch"):
        made.mkdir()
    _borrow_kernels(folder, tmp_path / "scratch", sources, sources.fingerprint("registry"))
    found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == {f"{SHARED}/advance.nbi": "present"}


def test_who_compiles_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kernels"))
    with compiling.alone(), (tmp_path / "kernels" / "lock").open("w") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / "kernels" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
