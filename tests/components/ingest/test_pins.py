"""Pins: what is read is what was pinned, and every difference is told with both sides."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import ParamsError, SourceError
from components.core.params import parse
from components.core.stage import Report
from components.ingest import IngestConfig, check_pins, difference, ingest, read_lock, resolve
from components.ingest.sources import read_sources

CODE = '"""Documentation of the whole package, which is long enough to be kept."""\n'


def config(*sources: dict[str, Any], **values: Any) -> IngestConfig:
    return parse({"sources": list(sources), **values}, IngestConfig, "test")


def files(*paths: str, **values: Any) -> dict[str, Any]:
    return {"kind": "files", "name": "notes", "paths": list(paths), "licence": "CC0-1.0", **values}


def documentation(*packages: str) -> dict[str, Any]:
    return {"kind": "documentation", "packages": list(packages), "min_characters": 10}


def run(wanted: IngestConfig, lock: Path) -> Report:
    output = lock.parent / "output"
    output.mkdir(exist_ok=True)
    return ingest(wanted, sources=lock, output=output)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A project with two notes, and the place of its lock."""
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "a.txt").write_text("a note")
    (tmp_path / "notes" / "deep" / "b.txt").write_text("another note")
    return tmp_path / "sources.lock.json"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package ``inkwell`` that must never be imported; the folder it is installed in."""
    site = tmp_path / "site"
    for name in ("inkwell/__init__.py", "inkwell/pen.py", "inkwell/tests/test_pen.py", "inkwell/conftest.py"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(CODE + "raise SystemExit('imported')\n")
    info = site / "ink_well-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: ink-well\nVersion: 1.0\nLicense-Expression: ISC\n")
    (info / "top_level.txt").write_text("inkwell\n")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    return site


def test_files_are_pinned_with_size_digest_and_a_name_below_the_fixed_part_of_the_glob(lock: Path) -> None:
    (pin,) = resolve(config(files("notes/**/*.txt")), lock.parent).sources
    assert pin.kind == "files"
    assert [(file.path, file.name, file.bytes) for file in pin.files] == [
        ("notes/a.txt", "a.txt", 6), ("notes/deep/b.txt", "deep/b.txt", 12),
    ]  # fmt: skip
    assert all(len(file.sha256) == 64 for file in pin.files)


def test_a_corpus_that_moves_keeps_the_bytes_of_its_documents(lock: Path, tmp_path: Path) -> None:
    inside, outside = config(files("notes/**/*.txt")), config(files(f"{tmp_path}/moved/**/*.txt"))
    resolve(inside, lock.parent).save(lock)
    run(inside, lock)
    before = (tmp_path / "output" / "documents-00000.parquet").read_bytes()
    (tmp_path / "notes").rename(tmp_path / "moved")
    project = tmp_path / "project"
    project.mkdir()
    resolve(outside, project).save(project / "sources.lock.json")
    run(outside, project / "sources.lock.json")
    assert (project / "output" / "documents-00000.parquet").read_bytes() == before
    assert str(tmp_path).encode() not in before


def test_a_path_inside_the_project_is_pinned_relative_to_it(lock: Path) -> None:
    (pin,) = resolve(config(files(f"{lock.parent}/notes/a.txt")), lock.parent).sources
    assert pin.kind == "files"
    assert pin.files[0].path == "notes/a.txt"


def test_a_file_named_by_two_globs_is_read_once_and_two_files_of_one_name_are_refused(lock: Path) -> None:
    (pin,) = resolve(config(files("notes/*.txt", "notes/a.txt")), lock.parent).sources
    assert pin.kind == "files"
    assert len(pin.files) == 1
    (lock.parent / "notes" / "deep" / "a.txt").write_text("a third note")
    with pytest.raises(SourceError, match=r"2 files called a\.txt"):
        resolve(config(files("notes/*.txt", "notes/deep/*.txt")), lock.parent)


def test_a_glob_without_files_and_an_unknown_format_are_refused(lock: Path) -> None:
    with pytest.raises(SourceError, match="no file at nowhere"):
        resolve(config(files("nowhere/*.txt")), lock.parent)
    (lock.parent / "notes" / "x.docx").write_text("")
    with pytest.raises(SourceError, match=r"notes/x\.docx, of no known format"):
        resolve(config(files("notes/*")), lock.parent)


def test_a_changed_file_is_refused_with_both_digests_and_a_missing_one_by_name(lock: Path) -> None:
    wanted = config(files("notes/*.txt"))
    resolve(wanted, lock.parent).save(lock)
    check_pins(lock)
    (lock.parent / "notes" / "a.txt").write_text("b note")
    for act in (lambda: check_pins(lock), lambda: run(wanted, lock)):
        with pytest.raises(SourceError, match=r"(?s)a\.txt.*sha256 [0-9a-f]{64}.*sha256 [0-9a-f]{64}.*refresh"):
            act()
    (lock.parent / "notes" / "a.txt").unlink()
    with pytest.raises(SourceError, match=r"(?s)a\.txt.*No such file"):
        run(wanted, lock)


def test_only_what_is_pinned_is_read(lock: Path) -> None:
    wanted = config(files("notes/*.txt"))
    resolve(wanted, lock.parent).save(lock)
    (lock.parent / "notes" / "new.txt").write_text("a note that came later")
    assert run(wanted, lock).metrics["documents"] == 1


def test_a_source_without_a_pin_or_pinned_otherwise_asks_for_a_refresh(lock: Path) -> None:
    with pytest.raises(SourceError, match=r"(?s)no such file.*pedigree refresh"):
        run(config(files("notes/*.txt")), lock)
    resolve(config(files("notes/*.txt")), lock.parent).save(lock)
    for other in (files("notes/*.txt", name="letters"), files("notes/**/*.txt"), files("notes/*.txt", licence="MIT"),
                  documentation("packaging")):  # fmt: skip
        with pytest.raises(SourceError, match="pedigree refresh"):
            run(config(other), lock)


def test_a_lock_that_is_none_is_refused_naming_the_place(lock: Path) -> None:
    lock.write_text('{"sources": [{"kind": "files", "name": 5}]}')
    with pytest.raises(SourceError, match=r"sources\.0"):
        read_lock(lock)


def test_a_package_is_pinned_without_importing_it_and_without_its_tests(package: Path) -> None:
    (pin,) = resolve(config(documentation("inkwell"))).sources
    assert pin.kind == "documentation"
    assert (pin.distribution, pin.version, pin.licence, pin.files) == ("ink-well", "1.0", "ISC", 2)
    assert "inkwell" not in sys.modules


def test_a_package_that_changed_is_refused(package: Path, lock: Path) -> None:
    wanted = config(documentation("inkwell"))
    resolve(wanted).save(lock)
    check_pins(lock)
    assert run(wanted, lock).metrics["documents"] == 2
    pen = package / "inkwell" / "pen.py"
    pen.write_text(pen.read_text().replace("Documentation", "documentation"))
    check_pins(lock)  # keeps its size: the cheap look does not see it
    with pytest.raises(SourceError, match=r"(?s)sha256 [0-9a-f]{64}.*sha256 [0-9a-f]{64}"):
        run(wanted, lock)
    pen.write_text("")
    with pytest.raises(SourceError, match=r"(?s)inkwell.*pip install ink-well==1\.0"):
        check_pins(lock)
    (package / "ink_well-1.0.dist-info").rename(package / "gone")
    with pytest.raises(SourceError, match="not installed"):
        check_pins(lock)


def test_packages_that_are_missing_or_belong_to_nobody_are_refused(package: Path) -> None:
    with pytest.raises(SourceError, match="belongs to no distribution"):
        resolve(config(documentation("no_such_package")))
    (package / "inkwell" / "__init__.py").unlink()
    (package / "inkwell" / "pen.py").unlink()
    with pytest.raises(SourceError, match=r"no \.py files"):
        resolve(config(documentation("inkwell")))


def test_a_difference_reads_line_by_line(lock: Path, package: Path) -> None:
    old = resolve(config(files("notes/**/*.txt")), lock.parent)
    (lock.parent / "notes" / "a.txt").write_text("changed")
    new = resolve(config(documentation("inkwell"), files("notes/*.txt")), lock.parent)
    lines = difference(old, new)
    assert lines[0].startswith("+ inkwell: ink-well 1.0, 2 files, ")
    assert lines[1].startswith("~ notes/a.txt: 6 bytes, CC0-1.0, sha256 ")
    assert lines[2].startswith("- notes/deep/b.txt: 12 bytes")
    assert difference(new, new) == []
    assert [line[0] for line in difference(None, new)] == ["+", "+"]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "at least 1 item"),
        ([documentation("numpy", "numpy")], "'numpy' stands there twice"),
        ([documentation("numpy"), files("x.txt", name="numpy")], "'numpy' stands there twice"),
        ([documentation("os.path")], "pattern"),
        ([{"kind": "tape"}], "tape"),
        ([files("x.txt", colour="red")], "unknown key"),
    ],
)
def test_a_mistake_in_the_sources_is_told(sources: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        config(*sources)


def test_a_source_that_changes_while_it_is_read_is_refused(lock: Path) -> None:
    lines = lock.parent / "notes" / "lines.jsonl"
    lines.write_text('{"text": "a line"}\n' * 1000)
    wanted = config(files("notes/lines.jsonl"))
    resolve(wanted, lock.parent).save(lock)
    reading = read_sources(wanted, lock)
    next(reading)
    status = lines.stat()
    lines.write_text('{"text": "a lime"}\n' * 1000)
    os.utime(lines, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had been written
    with pytest.raises(SourceError, match="changed while it was read"):
        list(reading)


def test_a_folder_stands_for_all_files_in_it(lock: Path) -> None:
    (lock.parent / "notes" / "[odd].md").write_text("# A note in Markdown")
    for path in ("notes", "notes/", f"{lock.parent}/notes"):
        (pin,) = resolve(config(files(path)), lock.parent).sources
        assert pin.kind == "files"
        assert [file.path for file in pin.files] == ["notes/[odd].md", "notes/a.txt", "notes/deep/b.txt"]


def test_a_local_file_is_hashed_again_when_it_changed_whatever_its_times_say(lock: Path) -> None:
    resolve(config(files("notes")), lock.parent).save(lock)
    check_pins(lock)
    note = lock.parent / "notes" / "a.txt"
    status = note.stat()
    note.write_text("a nose")
    os.utime(note, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(SourceError, match=r"a\.txt"):
        check_pins(lock)
