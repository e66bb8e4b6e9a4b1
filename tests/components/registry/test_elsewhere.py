"""Versions in PostgreSQL, files in S3: the same as on one disk, and each content once."""

import boto3
import pytest

from components.core.errors import RegistryError
from components.core.keys import believe, load_key
from components.registry import access, look, store, versions
from components.registry.store import ARTIFACTS_VARIABLE
from tests.components.registry.servers import s3
from tests.components.registry.test_registry import (
    NAME,
    check_complete,
    client,
    is_current,
    is_judged,
    promoted,
    registered,
    states,
)  # fmt: skip
from tests.components.registry.world import make_world

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _workspace(workspace, quick_code):
    believe(load_key().public_key())


def test_postgresql_holds_versions_ledger_and_aliases(workspace, postgres_address, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, postgres_address)
    output, first, better = workspace / "data/register", *(
        make_world(workspace / f"world{n}", seed=n, change=-0.2 * n) for n in (0, 1)
    )  # fmt: skip
    digest = registered(output, first)
    check_complete(first, output)
    registered(output, first)
    check_complete(first, output)
    promoted(workspace, first, digest)
    second = registered(output, better)
    assert not is_judged(workspace, better, second)
    promoted(workspace, better, second)
    assert is_judged(workspace, better, second)
    assert states() == {1: (), 2: ("challenger", "champion")}
    assert access.rollback(NAME).version == digest
    assert access.champion(NAME).digest == access.load(NAME).digest == digest
    assert list(access.find_faults(NAME)) == []


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of a real server, where files of versions go."""
    with s3() as environment:
        for name, value in {**environment, ARTIFACTS_VARIABLE: "s3://models/team"}.items():
            monkeypatch.setenv(name, value)
        found = boto3.resource("s3", endpoint_url=environment["MLFLOW_S3_ENDPOINT_URL"]).Bucket("models")
        found.create()
        yield found


def test_s3_holds_each_content_once_and_versions_refer_to_it(workspace, bucket):
    output, worlds = workspace / "data/register", [make_world(workspace / f"world{n}", seed=n) for n in (0, 1)]
    digests = [registered(output, world) for world in worlds]
    assert is_current(output, worlds[1])
    objects = {item.key.removeprefix("team/objects/"): item for item in bucket.objects.filter(Prefix="team/objects/")}
    weights = [world["model"] / "weights.safetensors" for world in worlds]
    for key in bucket.objects.filter(Prefix="team/models/"):
        assert not key.key.endswith(("weights.safetensors", "tokenizer.json")), "a second copy"
    for which, path in zip(("1", "2"), weights, strict=True):
        loaded = access.load(NAME, which)
        assert (loaded.model / "weights.safetensors").read_bytes() == path.read_bytes()
        assert loaded.digest == digests[int(which) - 1]
    promoted(workspace, worlds[1], digests[1])
    assert access.champion(NAME).digest == digests[1]
    sent = {key: item.last_modified for key, item in objects.items()}
    registered(output, worlds[0])
    assert sent == {item.key.removeprefix("team/objects/"): item.last_modified
                    for item in bucket.objects.filter(Prefix="team/objects/")}  # fmt: skip


def test_an_object_that_was_changed_is_refused_and_one_that_is_gone_is_sent_again(workspace, bucket, monkeypatch):
    world = make_world(workspace / "world")
    registered(workspace / "data/register", world)
    largest = max(bucket.objects.filter(Prefix="team/objects/"), key=lambda item: item.size)
    content = largest.get()["Body"].read()
    largest.put(Body=content[:-1] + b"x")
    with pytest.raises(RegistryError, match=r"model/|tokenizer/|evaluation/"):
        access.load(NAME, "challenger")
    largest.delete()
    with pytest.raises(RegistryError, match="s3://models/team"):
        access.load(NAME, "challenger")
    with monkeypatch.context() as environment:
        environment.setenv("MLFLOW_S3_ENDPOINT_URL", "localhost:9000")
        for act in (lambda: access.load(NAME, "challenger"), lambda: registered(workspace / "other", world)):
            with pytest.raises(RegistryError, match="localhost:9000"):
                act()
    registered(workspace / "data/register", world)
    assert access.load(NAME, "challenger").digest == look.look(store.find_store(), NAME)[0].digest
    assert len(versions.list_versions(client(), NAME)) == 1
