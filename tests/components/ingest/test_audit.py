"""The audit compares every byte, of files and of packages, and believes no time and no memory."""

import os

import pytest

from components.core.errors import SourceError
from components.ingest import FilesSource, IngestConfig, resolve
from components.ingest.audit import check_bytes
from components.ingest.config import DocumentationSource


def test_every_byte_of_a_file_is_compared(tmp_path):
    path = tmp_path / "letters.txt"
    path.write_text("one letter")
    source = FilesSource(kind="files", name="letters", paths=("letters.txt",), licence="CC0-1.0")
    lock = resolve(IngestConfig(sources=(source,)), tmp_path)
    assert list(check_bytes(lock, tmp_path)) == [("letters", 10)]
    status = path.stat()
    path.write_text("one better")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(SourceError, match="letters"):
        list(check_bytes(lock, tmp_path))
    path.unlink()
    with pytest.raises(SourceError, match="letters"):
        list(check_bytes(lock, tmp_path))


def test_every_module_of_a_package_is_compared(tmp_path, monkeypatch):
    package = tmp_path / "letterbox"
    package.mkdir()
    (package / "__init__.py").write_text('"""A box for letters."""\n')
    info = tmp_path / "letterbox-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: letterbox\nVersion: 1.0\nLicense: MIT\n")
    (info / "RECORD").write_text("letterbox/__init__.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    lock = resolve(IngestConfig(sources=(DocumentationSource(kind="documentation", packages=("letterbox",)),)))
    assert [name for name, _ in check_bytes(lock, tmp_path)] == ["letterbox"]
    (package / "__init__.py").write_text('"""A fox for letters."""\n')
    with pytest.raises(SourceError, match="letterbox"):
        list(check_bytes(lock, tmp_path))
