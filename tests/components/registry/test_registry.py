"""Register and promote against a real MLflow: nothing twice, everything again where it is gone, the better one wins."""

import shutil
import sqlite3

import pytest

from components.core.errors import RegistryError
from components.core.execute import Order, execute
from components.core.execute import is_current as has_nothing_to_do
from components.core.files import read_json, sha256_file
from components.core.params import parse
from components.registry import (
    STAGES,
    Contents,
    PromoteConfig,
    RegisterConfig,
    access,
    is_promoted,
    is_registered,
    look,
    promote,
    register,
    store,
    versions,
)
from tests.components.registry.world import CONFIG, NUM_STEPS, PROMOTE_CONFIG, finish, make_promote_world, make_world

NAME = CONFIG["name"]


def registered(folder, inputs):
    """Register as the runner would: into an empty folder, which then gets its record."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    register(RegisterConfig(**CONFIG), **inputs, output=folder)
    finish(folder, "register", CONFIG, {})
    return read_json(folder / "version.json")["digest"]


def is_current(folder, inputs):
    return is_registered(RegisterConfig(**CONFIG), **inputs, output=folder)


def promoted(folder, inputs, digest, config=PROMOTE_CONFIG):
    """Promote as the runner would: into an empty folder, which then gets its record."""
    shutil.rmtree(folder / "data/promote", ignore_errors=True)
    (folder / "data/promote").mkdir(parents=True)
    judging = make_promote_world(folder, inputs, digest)
    promote(parse(config, PromoteConfig, "promote"), **judging, output=folder / "data/promote")
    finish(folder / "data/promote", "promote", config, {})


def is_judged(folder, inputs, digest, config=PROMOTE_CONFIG):
    judging = make_promote_world(folder, inputs, digest)
    return is_promoted(parse(config, PromoteConfig, "promote"), **judging, output=folder / "data/promote")


def client():
    return store.connect(store.find_store())


def runs():
    mlflow = client()
    return mlflow.search_runs([e.experiment_id for e in mlflow.search_experiments()])


def states():
    return {v.number: v.aliases for v in look.look(store.find_store(), NAME)}


@pytest.fixture
def inputs(workspace, quick_code):
    return make_world(workspace / "world")


def check_complete(inputs, folder):
    """One version with all its files, one finished run with every point once, and the quick look agrees."""
    assert is_current(folder, inputs)
    found = versions.list_versions(client(), NAME)
    assert found == look.look(store.find_store(), NAME)
    assert [v.aliases for v in found] == [("challenger",)]
    (run,) = runs()
    assert run.info.status == "FINISHED"
    for key in ("train/loss", "train/learning_rate"):
        points = client().get_metric_history(run.info.run_id, key)
        assert sorted(point.step for point in points) == list(range(1, NUM_STEPS + 1))
    assert len(client().get_metric_history(run.info.run_id, "evaluate/bits_per_byte")) == 1
    assert access.load(NAME, "challenger").digest == found[0].digest


def test_registering_twice_makes_one_version(inputs, workspace):
    output = workspace / "data/register"
    assert not is_current(output, inputs)
    first = registered(output, inputs)
    check_complete(inputs, output)
    assert registered(output, inputs) == first
    check_complete(inputs, output)


def test_the_run_says_what_a_reader_of_the_compare_page_wants_to_know(inputs, workspace):
    registered(workspace / "data/register", inputs)
    (run,) = runs()
    assert run.info.run_name.startswith("width 16, layers 1, steps 30, seed 0, ")
    assert run.data.params["train.model.width"] == "16"
    assert run.data.params["tokenizer.vocabulary_size"] == "300"
    assert run.data.metrics["evaluate/bits_per_byte"] == 2.1
    assert run.data.metrics["assess/classify/accuracy"] == 0.5
    datasets = {tag.value: d.dataset.name for d in run.inputs.dataset_inputs for tag in d.tags}
    assert datasets == {"training": "training tokens", "evaluation": "held-out documents",
                        "assessment of classify": "test examples of classify"}  # fmt: skip
    assert all(len(d.dataset.digest) <= 36 for d in run.inputs.dataset_inputs)


def test_run_and_version_tell_lock_recipe_code_and_the_data_that_they_were_measured_on(inputs, workspace):
    registered(workspace / "data/register", inputs)
    ((run,), (version,)) = runs(), look.look(store.find_store(), NAME)
    for tags in (run.data.tags, version.tags):
        assert tags["pedigree.sources.lock.json"] == sha256_file(workspace / "sources.lock.json")
        assert tags["pedigree.recipe"] == "none, values of its own"
        assert tags["pedigree.commit"] == "no git checkout"
        assert tags["pedigree.fingerprint"] == "f" * 64
        assert tags["pedigree.digest"] == version.digest
    measured = client().get_logged_model(version.model_id).metrics
    assert {(metric.key.partition("/")[0], metric.dataset_name, len(metric.dataset_digest)) for metric in measured} == {
        ("evaluate", "held-out documents", 36), ("assess", "test examples of classify", 36)
    }  # fmt: skip


def test_another_registry_is_filled_too(inputs, workspace, empty_registry, monkeypatch):
    output = workspace / "data/register"
    registered(output, inputs)
    (workspace / "elsewhere").mkdir()
    shutil.copyfile(empty_registry, workspace / "elsewhere/other.db")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, f"sqlite:///{workspace}/elsewhere/other.db")
    assert not is_current(output, inputs)
    registered(output, inputs)
    check_complete(inputs, output)
    assert (workspace / "elsewhere/artifacts").is_dir()


def test_a_workspace_that_was_moved_registers_at_its_new_place(inputs, workspace, monkeypatch):
    output = workspace / "data/register"
    registered(output, inputs)
    moved = workspace / "moved"
    moved.mkdir()
    (workspace / ".pedigree").rename(moved / ".pedigree")
    monkeypatch.setenv(store.WORKSPACE_VARIABLE, str(moved))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    assert not is_current(output, inputs)
    registered(output, inputs)
    assert is_current(output, inputs)
    (version,) = look.look(store.find_store(), NAME)
    assert version.folder.is_relative_to(moved)


def test_a_version_deleted_by_hand_comes_back_from_the_files_that_are_still_there(inputs, workspace):
    output = workspace / "data/register"
    registered(output, inputs)
    client().delete_model_version(NAME, "1")
    assert not is_current(output, inputs)
    registered(output, inputs)
    check_complete(inputs, output)
    assert len(list((workspace / store.FOLDER / "artifacts/models").iterdir())) == 1


def test_an_alias_deleted_by_hand_comes_back(inputs, workspace):
    output = workspace / "data/register"
    registered(output, inputs)
    client().delete_registered_model_alias(NAME, "challenger")
    assert not is_current(output, inputs)
    registered(output, inputs)
    check_complete(inputs, output)


@pytest.mark.parametrize("what", ["a run", "an experiment"])
def test_a_run_or_an_experiment_deleted_by_hand_does_not_stand_in_the_way(inputs, workspace, what):
    output = workspace / "data/register"
    registered(output, inputs)
    (run,) = runs()
    if what == "a run":
        client().delete_run(run.info.run_id)
    else:
        client().delete_experiment(run.info.experiment_id)
    client().delete_registered_model(NAME)
    registered(output, inputs)
    check_complete(inputs, output)


def test_a_version_whose_files_are_gone_is_replaced_and_its_aliases_move(inputs, workspace):
    output = workspace / "data/register"
    digest = registered(output, inputs)
    promoted(workspace, inputs, digest)
    assert states() == {1: ("challenger", "champion")}
    (access.load(NAME).model / "weights.safetensors").unlink()
    assert not is_current(output, inputs)
    registered(output, inputs)
    assert states() == {2: ("challenger", "champion")}
    assert is_current(output, inputs)


def test_promotion_goes_through_its_states(inputs, workspace):
    worse, better = (make_world(workspace / name, seed=n, change=c) for name, n, c in (("w", 1, 0.2), ("b", 2, -0.2)))
    digests = {}
    for name, world, expected in (
        ("first", inputs, {1: ("challenger", "champion")}),
        ("worse", worse, {1: ("champion",), 2: ("challenger",)}),
        ("better", better, {1: (), 2: (), 3: ("challenger", "champion")}),
        ("first", inputs, {1: ("challenger",), 2: (), 3: ("champion",)}),
    ):
        digests[name] = registered(workspace / "data/register", world)
        assert not is_judged(workspace, world, digests[name])
        promoted(workspace, world, digests[name])
        assert is_judged(workspace, world, digests[name])
        assert states() == expected


def test_promoting_twice_says_that_it_is_champion_already(inputs, workspace, capsys):
    digest = registered(workspace / "data/register", inputs)
    for _ in range(2):
        promoted(workspace, inputs, digest)
        assert "promoted (ledger entry 1)" in capsys.readouterr().out


def test_the_champion_keeps_its_alias_when_it_is_registered_again(inputs, workspace):
    digest = registered(workspace / "data/register", inputs)
    promoted(workspace, inputs, digest)
    registered(workspace / "data/register", make_world(workspace / "other", seed=1))
    registered(workspace / "data/register", inputs)
    assert states() == {1: ("champion",), 2: ("challenger",)}


def test_a_new_margin_is_a_new_judgement(inputs, workspace):
    digest = registered(workspace / "data/register", inputs)
    promoted(workspace, inputs, digest)
    better = make_world(workspace / "better", seed=1, change=-0.1)
    judging = (workspace, better, registered(workspace / "data/register", better))
    strict = {**PROMOTE_CONFIG, "primary": {"margin": 1.0}}
    promoted(*judging, strict)
    assert is_judged(*judging, strict)
    assert states()[1] == ("champion",)
    assert not is_judged(*judging)
    promoted(*judging)
    assert states()[2] == ("challenger", "champion")


def test_a_champion_that_was_deleted_is_refused_until_it_is_registered_again_or_rolled_back(inputs, workspace):
    promoted(workspace, inputs, registered(workspace / "data/register", inputs))
    client().delete_model_version(NAME, "1")
    worse = make_world(workspace / "worse", seed=1, change=0.5)
    digest = registered(workspace / "data/register", worse)
    with pytest.raises(RegistryError, match="no version of digest"):
        promoted(workspace, worse, digest)
    with pytest.raises(RegistryError, match="no complete version"):
        access.load(NAME)
    registered(workspace / "data/register", inputs)
    promoted(workspace, worse, digest)
    assert states() == {2: (), 3: ("challenger", "champion")}
    access.load(NAME)


def test_a_champion_whose_bytes_changed_is_refused_and_nothing_is_promoted(inputs, workspace):
    promoted(workspace, inputs, registered(workspace / "data/register", inputs))
    damaged = access.load(NAME).model / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    better = make_world(workspace / "better", seed=1, change=-0.5)
    digest = registered(workspace / "data/register", better)
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        promoted(workspace, better, digest)
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        access.load(NAME)
    assert states()[1] == ("champion",)


def test_an_evaluation_that_was_not_registered_is_refused(inputs, workspace):
    digest = registered(workspace / "data/register", inputs)
    other = make_world(workspace / "other", seed=0, change=-0.5)
    with pytest.raises(RegistryError, match="an evaluation of digest"):
        promoted(workspace, other, digest)
    with pytest.raises(RegistryError, match="no complete version"):
        promoted(workspace, inputs, "0" * 64)


def test_a_version_is_found_by_alias_number_and_digest(inputs, workspace):
    digest = registered(workspace / "data/register", inputs)
    for which in ("challenger", "1", digest, digest[:8]):
        assert access.find_version(NAME, which).digest == digest
    for which in ("champion", "2", digest[:3], "none"):
        with pytest.raises(RegistryError, match=digest[:12]):
            access.find_version(NAME, which)
    assert access.champion(NAME) is None


def test_a_database_that_is_not_understood_is_not_taken_for_an_empty_registry(inputs, workspace):
    registered(workspace / "data/register", inputs)
    with sqlite3.connect(workspace / store.FOLDER / "mlflow.db") as connection:
        connection.execute("ALTER TABLE model_versions RENAME COLUMN status TO condition")
    assert look.look(store.find_store(), NAME) is None
    assert not is_current(workspace / "data/register", inputs)


def test_a_registry_out_of_reach_is_told_in_a_sentence_without_the_password(inputs, workspace, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert not is_current(workspace / "data/register", inputs)
    with pytest.raises(RegistryError, match=r"http://127\.0\.0\.1:9") as told:
        registered(workspace / "data/register", inputs)
    assert "secret" not in str(told.value)


@pytest.mark.slow
def test_behind_the_walls_a_registry_is_filled_and_again_when_it_was_emptied(workspace):
    inputs, output = make_world(workspace / "world"), workspace / "data/register"
    (workspace / "params.yaml").write_text("register: {name: tiny}\npromote: {num_resamples: 300}\n")
    registering = Order(STAGES["register"], "registry", inputs, output)
    judging = {"registration": output, **{name: inputs[name] for name in ("evaluation", "assessments")}}
    promoting = Order(STAGES["promote"], "registry", judging, workspace / "data/promote")
    assert not has_nothing_to_do(registering)
    execute(registering)
    assert has_nothing_to_do(registering)
    assert not has_nothing_to_do(promoting)
    execute(promoting)
    assert has_nothing_to_do(promoting)
    assert states() == {1: ("challenger", "champion")}
    before = (output / "record.json").read_bytes()
    shutil.rmtree(workspace / store.FOLDER)
    assert not has_nothing_to_do(registering)
    execute(registering)
    assert states() == {1: ("challenger",)}
    assert (output / "record.json").read_bytes() == before
    check_files_of_version()


def check_files_of_version():
    """No pickle, and every library that it needs with its version."""
    folder = access.load(NAME, "challenger").model.parents[1]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".bin", ".keras", ".h5")]
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80"]
    requirements = (folder / "requirements.txt").read_text()
    assert all(f"{name}==" in requirements for name in ("mlflow", "tensorflow", "tokenizers", "numpy", "pydantic"))
    assert (folder / "artifacts/provenance/model-card.md").read_text().startswith("# Model card: tiny")


def test_what_is_equal_in_two_versions_lies_on_the_disk_once(inputs, workspace):
    for number, world in enumerate((inputs, make_world(workspace / "other", seed=1))):
        registered(workspace / "data/register", world)
        if number:
            access.share_files(NAME, Contents(**world))
    files = {path for path in (workspace / store.FOLDER / "artifacts").rglob("*") if path.is_file()}
    on_disk = {path.stat().st_ino: path for path in files}.values()
    unique = {path.read_bytes() for path in on_disk}
    assert sum(path.stat().st_size for path in on_disk) <= 1.05 * sum(map(len, unique))
    for which in ("1", "2"):
        access.load(NAME, which)
