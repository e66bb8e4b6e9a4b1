"""`pedigree doctor` notices what was done to the version behind any alias, of the model and of its applications."""

import shutil

import pytest

from components.core.keys import believe, load_key
from components.registry import access, find_version
from flows import doctor
from tests.components.registry.conftest import code_once, empty_registry, quick_code, workspace  # noqa: F401
from tests.components.registry.test_registry import NAME, PROMOTE_CONFIG, client, promoted, registered, states
from tests.components.registry.world import make_world

ALIASES = ("champion-classify", "champion", "challenger")


@pytest.fixture
def told(workspace, quick_code, monkeypatch, capsys):  # noqa: F811
    """Another version behind each alias; gives what the doctor finds of them, and its exit code."""
    believe(load_key().public_key())
    (workspace / "params.yaml").write_text(f"register: {{name: {NAME}}}\n")
    rule = {"primary": {"metric": "classify.accuracy", "worse": "lower"}}
    for number, (change, assessed) in enumerate([(0.0, 0.5), (-0.2, 0.3), (0.2, 0.1)]):
        world = make_world(workspace / f"world{number}", seed=number, change=change, assessed=assessed)
        digest = registered(workspace / "data/register", world)
        promoted(workspace, world, digest, {**PROMOTE_CONFIG, "applications": {"classify": rule}})
    assert states() == {number: (alias,) for number, alias in enumerate(ALIASES, start=1)}
    shutil.copytree(workspace / ".pedigree", workspace / "kept")
    monkeypatch.setattr(doctor, "_CHECKS", (doctor._champion,))

    def ask():
        capsys.readouterr()
        code = doctor.doctor()
        shutil.copytree(workspace / "kept", workspace / ".pedigree", dirs_exist_ok=True)
        return code, capsys.readouterr().out

    return ask


def test_a_version_that_was_edited_or_deleted_is_noticed_behind_every_alias(told):
    assert told()[0] == 0
    for alias in ALIASES:
        damaged = find_version(NAME, alias).folder / "model/weights.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
        code, text = told()
        assert (code, "weights.safetensors" in text) == (5, True), text
        client().delete_model_version(NAME, str(find_version(NAME, alias).number))
        code, text = told()
        assert code == 5, text
        assert {"champion-classify": "champion of tiny-classify", "champion": "champion of tiny",
                "challenger": "of this workspace is gone"}[alias] in text, text  # fmt: skip


def test_an_alias_of_an_application_that_was_moved_by_hand_is_noticed_and_nobodys_champion(told):
    digest = access.champion(NAME, "classify").digest
    client().set_registered_model_alias(NAME, "champion-classify", "3")
    assert find_version(NAME, "champion-classify").digest == digest
    code, text = told()
    assert (code, "the alias champion-classify names version 3, the ledger another" in text) == (5, True), text
