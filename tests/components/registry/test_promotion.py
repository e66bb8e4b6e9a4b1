"""Promotion as it must hold when things go wrong: killed at any step, raced, tampered with, taken back."""

import re
import shutil
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from components.core.errors import PedigreeError, RegistryError
from components.core.keys import believe, load_key
from components.provenance.place import PARTS
from components.registry import access, read_ledger_quickly, store
from components.registry.promotion import page_of, waiting
from components.registry.store import APPROVAL_VARIABLE
from tests.components.registry import races
from tests.components.registry.test_registry import NAME, client, is_judged, promoted, registered, runs, states
from tests.components.registry.world import PROMOTE_CONFIG, make_world
from tests.worlds import ROOT


@pytest.fixture(autouse=True)
def _workspace(workspace, quick_code):
    believe(load_key().public_key())


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_of_eight_processes_that_promote_at_once_exactly_one_wins(database, tmp_path, request, empty_registry):
    if database == "sqlite":
        shutil.copyfile(empty_registry, tmp_path / "raced.db")
        address = f"sqlite:///{tmp_path}/raced.db"
    else:
        address = request.getfixturevalue("postgres_address")
    assert races.run(tmp_path, address, 1).winners == [1]


@pytest.mark.slow
def test_a_registration_and_a_promotion_killed_between_any_steps_are_finished_by_the_next_call(
    tmp_path, empty_registry
):
    (tmp_path / "killed").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.components.registry.kills", tmp_path / "killed", empty_registry],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    found = re.findall(r"^kill_(\w+): (\d+) kills$", done.stdout, re.MULTILINE)
    assert [name for name, _ in found] == ["registration", "promotion"]
    assert all(int(kills) >= least for (_, kills), least in zip(found, (15, 5), strict=True)), done.stdout


def champions(workspace, *changes):
    """Worlds registered and promoted one after the other; their digests."""
    digests = []
    for number, change in enumerate(changes):
        world = make_world(workspace / f"world{number}", seed=number, change=change)
        digests.append(registered(workspace / "data/register", world))
        promoted(workspace, world, digests[-1])
    return digests


def test_a_champion_is_rolled_back_checked_and_not_promoted_again_by_itself(workspace):
    first, second = champions(workspace, 0.0, -0.2)
    begin = time.monotonic()
    assert access.rollback(NAME).version == first
    assert time.monotonic() - begin < 5
    assert states()[1] == ("champion",)
    promoted(workspace, {n: workspace / "world1" / n for n in PARTS}, second)
    assert access.champion(NAME).digest == first
    assert access.rollback(NAME, "2").version == second
    assert states()[2] == ("challenger", "champion")


def test_nobody_is_rolled_back_to_damaged_files(workspace):
    _, second = champions(workspace, 0.0, -0.2)
    damaged = access.find_version(NAME, "1").folder / "model/weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        access.rollback(NAME)
    assert access.champion(NAME).digest == second


def test_the_ledger_tells_who_was_champion_at_any_moment(workspace):
    first, second = champions(workspace, 0.0, -0.2)
    known = read_ledger_quickly(NAME)
    moment = known.entries[1].moment
    assert known.champion(moment - timedelta(milliseconds=1)).version == first
    assert known.champion(moment).version == known.champion().version == second
    assert known.champion(datetime(2000, 1, 1, tzinfo=UTC)) is None


def test_a_person_is_waited_for_and_the_answer_counts(workspace, monkeypatch):
    (first,) = champions(workspace, 0.0)
    monkeypatch.setenv(APPROVAL_VARIABLE, "1")
    better = make_world(workspace / "better", seed=5, change=-0.2)
    digest = registered(workspace / "data/register", better)
    promoted(workspace, better, digest)
    assert access.champion(NAME).digest == first
    assert waiting(read_ledger_quickly(NAME)).version == digest
    monkeypatch.delenv(APPROVAL_VARIABLE)
    promoted(workspace, better, digest)
    assert access.champion(NAME).digest == first, "a proposal that waits is nobody's to carry out but a person's"
    access.decide(NAME, agree=False)
    assert access.champion(NAME).digest == first
    with pytest.raises(RegistryError, match="no proposal"):
        access.decide(NAME, agree=True)


def test_looks_at_the_same_documents_are_counted_by_comparison(workspace):
    champions(workspace, 0.0, 0.2, 0.3)
    known = read_ledger_quickly(NAME)
    (documents,) = {entry.evaluation_set for entry in known.entries}
    assert known.looks(documents) == 2
    assert [entry.evidence["verdict"]["look"] for entry in known.entries] == [1, 1, 2]


def sql(workspace, *statement):
    with sqlite3.connect(workspace / store.FOLDER / "mlflow.db") as connection:
        connection.execute(*statement)


TAMPERED = {
    "an entry edited": "UPDATE model_version_tags SET value = replace(value, 'promoted', 'kept') "
    "WHERE name = 'tiny-ledger' AND version = 2 AND key = 'pedigree.entry'",
    "an entry deleted": "DELETE FROM model_versions WHERE name = 'tiny-ledger' AND version = 1",
    "the last entry deleted": "DELETE FROM model_versions WHERE name = 'tiny-ledger' AND version = 2",
    "an unknown signer": "UPDATE model_version_tags SET value = 'abc' WHERE name = 'tiny-ledger' AND version = 2 "
    "AND key = 'pedigree.signer'",
    "the champion's digest edited": "UPDATE model_version_tags SET value = 'abc' WHERE name = 'tiny' AND version = 2 "
    "AND key = 'pedigree.digest'",
    "the champion deleted": "DELETE FROM model_versions WHERE name = 'tiny' AND version = 2",
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_tampered_with_is_noticed_and_refused(workspace, how):
    champions(workspace, 0.0, -0.2)
    assert list(access.find_faults(NAME)) == []
    sql(workspace, "PRAGMA foreign_keys = OFF")
    sql(workspace, TAMPERED[how])
    assert len(list(access.find_faults(NAME))) >= 1
    with pytest.raises(PedigreeError):
        access.load(NAME)


def test_a_challenger_that_was_edited_is_noticed_too(workspace):
    champions(workspace, 0.0, 0.2)
    damaged = access.find_version(NAME, "challenger").folder / "tokenizer/tokenizer.json"
    damaged.write_bytes(damaged.read_bytes() + b" ")
    (fault,) = access.find_faults(NAME)
    assert fault.startswith("alias challenger")
    assert "tokenizer.json" in fault


def test_an_alias_moved_by_hand_is_noticed_and_changes_nobodys_champion(workspace):
    _, second = champions(workspace, 0.0, -0.2)
    client().set_registered_model_alias(NAME, "champion", "1")
    assert "the ledger another" in next(access.find_faults(NAME))
    assert access.find_version(NAME).digest == second


def test_the_first_champion_of_an_application_beats_the_best_floor_and_every_try_counts_as_a_look(workspace):
    rule = {"primary": {"metric": "classify.accuracy", "worse": "lower"}}
    config = {**PROMOTE_CONFIG, "applications": {"classify": rule}}
    for number, assessed in enumerate((0.5, 0.8)):
        world = make_world(workspace / f"world{number}", seed=number, assessed=assessed, floor=0.6)
        digest = registered(workspace / "data/register", world)
        promoted(workspace, world, digest, config)
        assert is_judged(workspace, world, digest, config)
    entries = read_ledger_quickly(NAME, "classify").entries
    assert [(e.kind, e.evidence["floor"], e.evidence["verdict"]["look"]) for e in entries] == [
        ("kept", "commonest", 1), ("promoted", "commonest", 2),
    ]  # fmt: skip
    assert access.champion(NAME, "classify").digest == digest


def test_a_version_may_be_champion_of_an_application_and_not_of_the_model(workspace):
    rule = {"primary": {"metric": "classify.accuracy", "worse": "lower"}}
    config = {**PROMOTE_CONFIG, "applications": {"classify": rule, "answer": rule}}
    digests = []
    for number, (change, assessed) in enumerate([(0.0, 0.5), (0.2, 0.8), (-0.2, 0.3)]):
        world = make_world(workspace / f"world{number}", seed=number, change=change, assessed=assessed)
        digests.append(registered(workspace / "data/register", world))
        assert not is_judged(workspace, world, digests[-1], config)
        promoted(workspace, world, digests[-1], config)
        assert is_judged(workspace, world, digests[-1], config)
    # The second is the better one at classifying and the worse one at texts; the third the other way round. Nobody was
    # ever assessed in answering, so nobody is its champion.
    assert states() == {1: (), 2: ("champion-classify",), 3: ("challenger", "champion")}
    assert (access.champion(NAME).digest, access.champion(NAME, "classify").digest) == (digests[2], digests[1])
    assert access.find_version(NAME, "champion-classify").digest == digests[1]
    assert access.champion(NAME, "answer") is None
    kinds = [entry.kind for entry in read_ledger_quickly(NAME, "classify").entries]
    assert kinds == ["promoted", "promoted", "kept"]
    assert access.rollback(NAME, application="classify").version == digests[0]
    assert states() == {1: ("champion-classify",), 2: (), 3: ("challenger", "champion")}


def test_a_version_whose_answers_hold_personal_data_is_no_champion_of_chat_and_may_be_one_of_classifying(workspace):
    leaks = {"name": "personal data", "metric": "chat.personal_data", "margin": 0.05, "limit": 0.2}
    rules = {
        "chat": {"primary": {"metric": "chat.token_f1", "worse": "lower"}, "guardrails": [leaks]},
        "classify": {"primary": {"metric": "classify.accuracy", "worse": "lower"}},
    }
    config, digests = {**PROMOTE_CONFIG, "applications": rules}, []
    # The first is above the limit, the third above the margin beside the second; each is better than the one before.
    for number, (assessed, leaking) in enumerate([(0.4, 0.4), (0.5, 0.01), (0.8, 0.11)]):
        world = make_world(workspace / f"world{number}", seed=number, assessed=assessed, leaking=leaking)
        digests.append(registered(workspace / "data/register", world))
        promoted(workspace, world, digests[-1], config)
        assert is_judged(workspace, world, digests[-1], config)
    assert [entry.kind for entry in read_ledger_quickly(NAME, "chat").entries] == ["kept", "promoted", "kept"]
    assert [entry.kind for entry in read_ledger_quickly(NAME, "classify").entries] == ["promoted"] * 3
    assert access.champion(NAME, "chat").digest == digests[1]
    assert access.champion(NAME, "classify").digest == digests[2]
    assert "personal data: worse by" in "\n".join(read_ledger_quickly(NAME, "chat").entries[2].evidence["lines"])


def speeds():
    """Of every run in the order of their beginnings, how often its float32 speed was logged."""
    found = sorted(runs(), key=lambda run: run.info.start_time)
    key = "decode/float32_tokens_per_second"
    return [len(client().get_metric_history(run.info.run_id, key)) for run in found]


def test_a_verdict_tells_how_fast_the_version_writes_with_either_kind_of_weights(workspace, capsys):
    champions(workspace, 0.0, -0.2)
    told = capsys.readouterr().out
    for entry in read_ledger_quickly(NAME).entries:
        found = entry.evidence["speed"]
        ratio = found["float32_tokens_per_second"] / found["int8_tokens_per_second"]
        assert found["int8_time"]["value"] == pytest.approx(ratio)
        assert found["int8_time"]["low"] < ratio < found["int8_time"]["high"]
        assert entry.evidence["lines"][-1].startswith("measured here: ")
        assert entry.evidence["lines"][-1] in told
        page = page_of(entry.gate).read_text(encoding="utf-8")
        assert "Weights of one byte each: before and after" in page
    assert speeds() == [1, 1]
    rates = {k: v for k, v in runs()[0].data.metrics.items() if k.startswith("decode/")}
    assert set(rates) == {"decode/float32_tokens_per_second", "decode/int8_tokens_per_second"}
    assert min(rates.values()) > 0


def test_what_is_settled_or_of_an_application_is_not_measured_again(workspace):
    rule = {"primary": {"metric": "classify.accuracy", "worse": "lower"}}
    config = {**PROMOTE_CONFIG, "applications": {"classify": rule}}
    world = make_world(workspace / "world")
    digest = registered(workspace / "data/register", world)
    for _ in range(2):
        promoted(workspace, world, digest, config)
    assert speeds() == [1]
    assert "speed" not in read_ledger_quickly(NAME, "classify").entries[0].evidence


@pytest.mark.parametrize(("limit", "kind"), [(0.0001, "kept"), (1000.0, "promoted")])
def test_a_limit_of_the_measured_time_can_refuse_a_version(workspace, limit, kind):
    rule = {"name": "int8 speed", "metric": "int8_time", "limit": limit}
    world = make_world(workspace / "world")
    digest = registered(workspace / "data/register", world)
    promoted(workspace, world, digest, {**PROMOTE_CONFIG, "guardrails": [rule]})
    (entry,) = read_ledger_quickly(NAME).entries
    assert entry.kind == kind
    (_, finding) = entry.evidence["verdict"]["findings"]
    assert (finding["name"], finding["bound"]) == ("int8 speed, limit", limit)


def test_a_version_whose_model_was_edited_gets_no_verdict(workspace):
    world = make_world(workspace / "world")
    digest = registered(workspace / "data/register", world)
    damaged = access.find_version(NAME, "1").folder / "model/weights.safetensors"
    damaged.unlink()
    damaged.write_bytes(b"x" * 100)
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        promoted(workspace, world, digest)
    assert not read_ledger_quickly(NAME).entries
