"""A person's words are withdrawn: every collected record in which they stand is left out from then on."""

import json

import pytest

from components.core.collected import read_records
from components.core.lock import WORKSPACE_VARIABLE
from components.core.params import parse
from components.ingest import STAGES, CollectConfig, resolve
from components.registry import ENVIRONMENT
from flows.withdraw import withdraw

WORDS = "I live at 5, Mill Lane."
LETTERS = [[WORDS, "Thank you."], ["Where is my parcel?", "On its way."], ["And now?", WORDS]]
SOURCE = {"name": "letters", "application": "chat", "licence": "CC-BY-4.0", "format": "jsonl", "paths": ["a.jsonl"]}


@pytest.fixture
def collect(tmp_path, monkeypatch):
    """Collects the letters of a workspace that has no version; gives the words of each."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"messages": [{"role": "user", "content": word} for word in words]}) for words in LETTERS]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    config = parse({"sources": [SOURCE]}, CollectConfig, "test")
    resolve(config, tmp_path).save(tmp_path / "records.lock.json")
    (tmp_path / "data/collect").mkdir(parents=True)

    def collect():
        STAGES["collect"].function(config, sources=tmp_path / "records.lock.json", output=tmp_path / "data/collect")
        rows = read_records(tmp_path / "data/collect").column("text").to_pylist()
        return [[message["content"] for message in json.loads(row)["messages"]] for row in rows]

    return collect


def test_a_text_is_withdrawn_with_every_record_in_which_it_stands(collect, capsys):
    assert collect() == LETTERS
    assert withdraw(WORDS, is_agreed=True) == 0
    told = capsys.readouterr().out
    assert "2 collected records of this workspace" in told
    assert collect() == [LETTERS[1]]
