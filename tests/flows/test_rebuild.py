"""A version whose record does not tell how it was made: `pedigree rebuild` says where it differs first, and why."""

import json
from pathlib import Path

import pytest

from components.core.files import sha256_file, write_json, write_whole
from components.core.records import RECORD, Record
from flows.rebuild import _link, pinned_files
from tests.test_standards import words_of

pytestmark = pytest.mark.slow


def test_a_figure_that_nobody_measured_is_found_by_making_the_version_again(chain):
    evaluation = chain.root / "data/evaluate"
    report, record = (json.loads((evaluation / name).read_bytes()) for name in ("report.json", RECORD))
    report["bits_per_byte"] /= 2
    for name in ("report.json", RECORD):
        (evaluation / name).unlink()  # and not written into, which would change DVC's cache as well
    write_json(evaluation / "report.json", report)
    record["files"]["report.json"]["sha256"] = sha256_file(evaluation / "report.json")
    record["files"]["report.json"]["bytes"] = (evaluation / "report.json").stat().st_size
    write_json(evaluation / RECORD, record)

    chain.stage(*words_of("register", chain))
    lying = chain.pedigree("rebuild", "2", check=False)
    assert lying.returncode == 3, lying.stdout
    assert "stage evaluate differs first, in file report.json" in lying.stdout
    assert "the processor does not explain it: it has the instruction sets that were attested" in lying.stdout
    honest = chain.pedigree("rebuild", "1")
    assert "every byte equal" in honest.stdout


def test_files_that_values_name_by_their_digest_are_brought_along():
    def record(params):
        return Record(stage="evaluate", execution="", fingerprint="", params=params, inputs={}, files={})

    pinned = [{"path": path, "sha256": "0" * 64} for path in ("checks/labelled.csv", "sets/one.jsonl")]
    records = [
        record({"toxic_texts": pinned[0], "seed": 1, "prompts": ["The"]}),
        record({"evaluation_sets": pinned, "reference": None, "lora": {"rank": 8, "projections": ["a"]}}),
    ]
    assert {str(path) for path in pinned_files(records)} == {"checks/labelled.csv", "sets/one.jsonl"}


def test_what_is_brought_along_neither_replaces_code_nor_leaves_the_new_workspace(tmp_path, monkeypatch):
    here, folder = tmp_path / "here", tmp_path / "here/new/workspace"
    folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    for name in ("labelled.csv", "infra/of_code.csv", "../outside.csv"):
        write_whole(Path(name), b"ours")
    write_whole(folder / "infra/of_code.csv", b"of code")
    for name in ("labelled.csv", "infra/of_code.csv", "../outside.csv", str(tmp_path / "outside.csv"), "none.csv"):
        _link(Path(name), folder)
    found = {path.relative_to(here / "new").as_posix(): path.read_text() for path in folder.parent.rglob("*.csv")}
    assert found == {"workspace/labelled.csv": "ours", "workspace/infra/of_code.csv": "of code"}
