"""The stage ``ingest`` on real text and on faulty files: books balance and equal sources give equal bytes."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.core.documents import read_row_groups
from components.core.errors import SourceError
from components.core.files import list_files
from components.core.params import parse
from components.core.stage import Report
from components.ingest import STAGE, IngestConfig, ingest, resolve
from tests.components.ingest.world import CONFIG, make_world
from tests.worlds import SHARED_DATA


def run(values: dict[str, Any], lock: Path, output: Path) -> Report:
    output.mkdir()
    report = ingest(parse(values, IngestConfig, "test"), sources=lock, output=output)
    if report.books is not None:
        report.books.check("ingest")
    return report


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(CONFIG, make_world(tmp_path / name)["sources"], tmp_path / name / "output")
    first, second = tmp_path / "a" / "output", tmp_path / "b" / "output"
    assert list(list_files(first)) == list(list_files(second))
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in list_files(first))


def test_every_document_knows_where_it_came_from(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    run(CONFIG, world["sources"], tmp_path / "output")
    found = {row["uri"]: row for table in read_row_groups(tmp_path / "output") for row in table.to_pylist()}
    version = json.loads(world["sources"].read_text())["sources"][0]["version"]
    of_package = found[f"packaging=={version}/packaging/version.py#Version"]
    assert (of_package["source"], of_package["licence"][:6]) == ("packaging", "Apache")
    assert json.loads(of_package["meta"]) == {
        "distribution": "packaging", "kind": "class", "name": "packaging.version.Version", "version": version,
    }  # fmt: skip
    of_file = found["notes/lines.jsonl#2"]
    assert (of_file["text"], of_file["source"], of_file["licence"]) == ("two", "notes", "CC0-1.0")
    assert len({row["doc_id"] for row in found.values()}) == len(found)


def test_what_cannot_be_read_is_counted_kept_aside_and_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = run(CONFIG, make_world(tmp_path)["sources"], tmp_path / "output")
    rejects = pq.read_table(tmp_path / "output" / "rejects.parquet").to_pylist()
    (fault,) = (row for row in rejects if row["reason"] != "too_short")
    assert (fault["uri"], fault["reason"]) == ("notes/picture.txt", "binary")
    assert report.metrics["faults"] == 1
    assert report.books is not None
    assert report.books.dropped["binary"] == 1
    assert "notes/picture.txt: binary: zero byte" in capfd.readouterr().err


def test_too_many_faults_fail_the_stage_with_their_reasons_but_short_texts_are_none(tmp_path: Path) -> None:
    lock = make_world(tmp_path)["sources"]
    with pytest.raises(SourceError, match=r"(?s)1 of .*picture\.txt: binary.*at most 0\.1%"):
        run({**CONFIG, "max_rejected_share": 0.001}, lock, tmp_path / "output")
    sources = [{**CONFIG["sources"][0], "min_characters": 10_000}]
    report = run({"sources": sources, "max_rejected_share": 0}, lock, tmp_path / "short")
    assert report.metrics["documents"] == 0


def test_the_sandbox_is_told_the_pinned_files_and_no_others(tmp_path: Path) -> None:
    lock = make_world(tmp_path)["sources"]
    paths = list(STAGE.reads(parse(CONFIG, IngestConfig, "test"), sources=lock))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "notes/letter.txt", "notes/lines.jsonl", "notes/packed.txt.gz", "notes/picture.txt",
    ]  # fmt: skip


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the shared data sets are not here (set PEDIGREE_SHARED)")
def test_real_stories_and_plays_are_read_completely(tmp_path: Path) -> None:
    values: dict[str, Any] = {"sources": [
        {"kind": "files", "name": "plays", "paths": [f"{SHARED_DATA}/tinyshakespeare/input.txt"], "licence": "PD"},
        {"kind": "files", "name": "stories", "paths": [f"{SHARED_DATA}/tinystories_tune/stories.txt"],
         "licence": "CDLA-Sharing-1.0", "separator": "<|endoftext|>"},
    ]}  # fmt: skip
    lock = tmp_path / "sources.lock.json"
    resolve(parse(values, IngestConfig, "test"), tmp_path).save(lock)
    run(values, lock, tmp_path / "output")
    texts = [text for table in read_row_groups(tmp_path / "output") for text in table["text"].to_pylist()]
    plays = (SHARED_DATA / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    stories = (SHARED_DATA / "tinystories_tune" / "stories.txt").read_bytes().decode()
    assert texts[0] == plays
    assert [text.strip() for text in texts[1:]] == [s.strip() for s in stories.split("<|endoftext|>") if s.strip()]
