"""Drift from an accepted profile: nothing, a warning or a closed gate."""

from pathlib import Path
from typing import Any

import pytest

from components.core.documents import RejectsWriter
from components.core.errors import GateError, InputError
from components.core.files import read_json, sha256_file
from components.core.params import parse
from components.core.stage import Report
from components.validate import CorpusConfig, validate_corpus
from tests.components.validate.world import CONFIGS, make_documents, write_documents

Rows = list[dict[str, Any]]


def check(folder: Path, rows: Rows, dropped: int = 0, **values: Any) -> Report:
    """Write a corpus of ``rows`` with rejects, and validate it into ``folder / "out"``."""
    (folder / "subject").mkdir(parents=True)
    write_documents(folder / "subject", rows, has_split=True)
    with RejectsWriter(folder / "subject") as rejects:
        for number in range(dropped):
            rejects.add((f"{number:032x}", "source0", "", "too_short", "", ""))
    (folder / "out").mkdir()
    config = parse({**CONFIGS["validate@corpus"], **values}, CorpusConfig, "test")
    return validate_corpus(config, subject=folder / "subject", output=folder / "out")


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The profile of the sound world, as params.yaml would name it."""
    monkeypatch.chdir(tmp_path)
    check(tmp_path / "before", make_documents(100))
    path = tmp_path / "before" / "out" / "profile.json"
    return {"path": str(path.relative_to(tmp_path)), "sha256": sha256_file(path)}


def findings(folder: Path) -> dict[str, dict[str, Any]]:
    return {found["name"]: found for found in read_json(folder / "out" / "result.json")["expectations"]}


def test_the_same_version_has_not_moved(pinned: dict[str, str], tmp_path: Path) -> None:
    report = check(tmp_path / "now", make_documents(100), reference=pinned, on_drift="failure")
    assert report.metrics["warnings"] == 0
    names = ("share_change", "length_distance", "language_distance", "rule_change")
    assert [findings(tmp_path / "now")[f"{name}_small"]["observed"] for name in names] == [0, 0, 0, 0]


def other_share(rows: Rows) -> None:
    for row in rows[:40]:
        row["source"] = "source0"


def new_source(rows: Rows) -> None:
    for row in rows[:20]:
        row["source"] = "another"


def longer(rows: Rows) -> None:
    for row in rows[:60]:
        row["text"] = row["text"] * 3


def other_language(rows: Rows) -> None:
    for row in rows[:60]:
        row["language"] = "de"


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (other_share, "share_change_small"),
        (new_source, "share_change_small"),
        (longer, "length_distance_small"),
        (other_language, "language_distance_small"),
        (None, "rule_change_small"),
    ],
)
def test_a_planted_change_warns_or_closes_the_gate(
    plant: Any, name: str, pinned: dict[str, str], tmp_path: Path
) -> None:
    rows = make_documents(100)
    if plant:
        plant(rows)
    dropped = 0 if plant else 10
    report = check(tmp_path / "warned", rows, dropped, reference=pinned)
    assert report.metrics["warnings"] == 1
    assert (findings(tmp_path / "warned")[name]["state"], "warned" in page(tmp_path / "warned")) == ("warned", True)
    with pytest.raises(GateError, match=name):
        check(tmp_path / "failed", rows, dropped, reference=pinned, on_drift="failure")
    assert findings(tmp_path / "failed")[name]["state"] == "failed"


def page(folder: Path) -> str:
    return (folder / "out" / "page.html").read_text()


def test_a_reference_that_is_not_what_was_pinned_is_refused(pinned: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected: sha256 0000"):
        check(tmp_path / "now", make_documents(100), reference={**pinned, "sha256": "0" * 64})
    with pytest.raises(InputError, match="no such file"):
        check(tmp_path / "then", make_documents(100), reference={**pinned, "path": "elsewhere.json"})
    (tmp_path / "odd.json").write_text('{"sources": 1}')
    odd = {"path": "odd.json", "sha256": sha256_file(tmp_path / "odd.json")}
    with pytest.raises(InputError, match="a profile"):
        check(tmp_path / "later", make_documents(100), reference=odd)
