"""Drift from an accepted profile: nothing, a warning or a closed gate."""

from pathlib import Path
from typing import Any

import pytest

from components.core.documents import RejectsWriter
from components.core.errors import GateError, InputError
from components.core.files import read_json, sha256_file
from components.core.params import parse
from components.core.stage import Report
from components.validate import CorpusConfig, TokensConfig, validate_corpus, validate_tokens
from tests.components.validate.world import (
    CONFIGS,
    VOCABULARY,
    make_documents,
    make_split,
    make_tokens,
    write_documents,
    write_tokens,
)

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


def check_tokens(folder: Path, splits: dict[str, Any], **values: Any) -> Report:
    """Write packed tokens and validate them into ``folder / "out"``."""
    for name in ("subject", "out"):
        (folder / name).mkdir(parents=True)
    write_tokens(folder / "subject", splits)
    config = parse({**CONFIGS["validate@tokens"], **values}, TokensConfig, "test")
    return validate_tokens(config, subject=folder / "subject", output=folder / "out")


def other_words(splits: dict[str, Any]) -> None:
    stream = splits["train"]["stream"]
    stream[stream > VOCABULARY // 2] = VOCABULARY // 2


def other_source(splits: dict[str, Any]) -> None:
    splits["train"]["table"]["source"][:30] = ["another"] * 30


def longer_documents(splits: dict[str, Any]) -> None:
    splits["train"] = make_split("train", 20, 7, repeat=3)


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (other_words, "vocabulary_distance_small"),
        (other_source, "share_change_small"),
        (longer_documents, "length_distance_small"),
    ],
)
def test_tokens_that_moved_warn_or_close_the_gate(
    plant: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_tokens(tmp_path / "before", make_tokens())
    path = Path("before", "out", "profile.json")
    reference = {"path": str(path), "sha256": sha256_file(path)}
    assert check_tokens(tmp_path / "same", make_tokens(), reference=reference).metrics["warnings"] == 0
    splits = make_tokens()
    plant(splits)
    limits = {"min_vocabulary_use": 0.1, "min_entropy_bits": 1.0}
    check_tokens(tmp_path / "warned", splits, reference=reference, **limits)
    assert findings(tmp_path / "warned")[name]["state"] == "warned"
    assert "Documents by length in tokens" in page(tmp_path / "warned")
    assert "20 of 20 expectations met" not in page(tmp_path / "warned")
    with pytest.raises(GateError, match=name):
        check_tokens(tmp_path / "failed", splits, reference=reference, on_drift="failure", **limits)


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
