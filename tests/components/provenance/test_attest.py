"""What is attested is complete, true to the record, and readable by other people's tools."""

import base64
import json
import os
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from components.core.errors import InputError
from components.core.files import read_json, sha256_file
from components.core.keys import key_id, load_key, public_pem
from components.provenance.attest import attest
from components.provenance.evidence import PINS
from components.provenance.manifest import read_manifest
from components.provenance.surroundings import code_state
from components.provenance.verify import read_signed, verify_version
from tests.components.provenance.world import LICENCES, make_chain, make_version, order_of

ECDSA, ED25519 = generate_private_key(SECP256R1()), Ed25519PrivateKey.generate()
BELIEVED = {key_id(key.public_key()): key.public_key() for key in (ECDSA, ED25519)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A workspace with its chain."""
    return make_chain(tmp_path_factory.mktemp("attest") / "workspace")


def test_the_statement_names_everything_that_the_version_was_made_from(root, tmp_path):
    make_version(root, tmp_path / "version", ED25519)
    build = read_signed(tmp_path / "version", BELIEVED).predicate.buildDefinition
    by_name = {resource.name: resource for resource in build.resolvedDependencies}
    stages = {"ingest", "validate@documents", "preprocess", "tokenizer", "pack", "train", "evaluate",
              "collect", "prepare@classify", "finetune@assistant", "assess@classify"}  # fmt: skip
    locks = {"params.yaml", "dvc.lock", "requirements.lock", "sources.lock.json", "records.lock.json"}
    sources = {*LICENCES, "answers"}
    assert set(by_name) == {"code.tar", *locks, *(f"stage {s}" for s in stages), *(f"source {s}" for s in sources)}
    letters = by_name["source letters"]
    assert letters.uri == "raw/letters.txt"
    assert letters.digest == {"sha256": sha256_file(root / "raw/letters.txt")}
    assert letters.annotations["licence"] == "CC-BY-4.0"
    assert letters.annotations["bytes"] == (root / "raw/letters.txt").stat().st_size
    assert by_name["stage tokenizer"].annotations["role"] == "tokenizer"
    assert by_name["stage finetune@assistant"].annotations["role"] == "finetuned/assistant"
    assert build.internalParameters["seeds"] == {
        "preprocess.seed": 3, "train.seed": 1, "evaluate.seed": 1, "finetune@assistant.seed": 1,
        "assess@classify.seed": 1,
    }  # fmt: skip
    assert {"processor", "interpreter", "libraries", "environment"} == set(build.internalParameters["surroundings"])


def test_the_code_state_is_told(root, tmp_path):
    subprocess.run(["git", "init", "-q", str(root / "code")], check=True)
    commit = ["git", "-C", str(root / "code"), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*commit, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    make_version(root, tmp_path / "version", ED25519)
    code = read_signed(tmp_path / "version", BELIEVED).predicate.buildDefinition.resolvedDependencies[0]
    shutil.rmtree(root / "code" / ".git")
    assert len(code.digest["gitCommit"]) == 40
    assert code.annotations == {"dirty": True}


def test_the_locks_of_a_run_are_no_change_of_the_code(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    commit = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--allow-empty"]
    subprocess.run([*commit, "-m", "first"], check=True)
    (tmp_path / "dvc.lock").touch()
    assert code_state(tmp_path)[1] is False
    (tmp_path / "code.py").touch()
    assert code_state(tmp_path)[1] is True


def test_equal_work_is_attested_with_equal_documents(root, tmp_path):
    first, second = (attest(order_of(root), ED25519, [], tmp_path / name) for name in ("first", "second"))
    for path in first.rglob("*"):
        if path.is_file() and path.name != "attestation.json":
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path


def test_a_chain_with_a_gap_is_not_attested(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "workspace")
    shutil.rmtree(copy / "data" / "preprocess")
    with pytest.raises(InputError, match="no such record"):
        attest(order_of(copy), ED25519, [], tmp_path / "version")


@pytest.mark.parametrize("change", [
    ("\n", "\n\n"), ("raw/", "row/"), ('"bytes": ', '"bytes": 1'), ('"licence": "', '"licence": "X'),
    ('"sha256": "', '"sha256": "0'),
])  # fmt: skip
@pytest.mark.parametrize("lock", PINS)
def test_pins_that_no_stage_read_are_not_attested(lock, change, root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "workspace")
    text = (root / lock).read_text()
    (copy / lock).write_text(text.replace(*change, 1))
    assert (copy / lock).read_text() != text
    with pytest.raises(InputError, match="the pinned sources"):
        attest(order_of(copy), ED25519, [], tmp_path / "version")


def test_the_workspace_key_is_made_on_first_use_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_key()
    assert (tmp_path / ".pedigree/keys/signing.pem").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def signed(root, tmp_path):
    """A version signed with an ECDSA key, and the paths of both halves of the key."""
    make_version(root, tmp_path / "version", ECDSA)
    pem = ECDSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "key.pub.pem").write_bytes(public_pem(ECDSA.public_key()))
    return tmp_path


def model_signing(*arguments):
    """Run OpenSSF's tool; returns whether it was content."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env={**os.environ, "HOME": "/nonexistent"}).returncode == 0


def is_accepted(folder):
    signature, key = folder / "version/provenance/model.sig", folder / "key.pub.pem"
    return model_signing("verify", "key", folder / "version", "--signature", signature, "--public_key", key)


def test_the_tool_of_openssf_accepts_our_manifest_and_refuses_a_changed_version(signed):
    verify_version(signed / "version", BELIEVED)
    assert is_accepted(signed)
    weights = signed / "version/model/weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not is_accepted(signed)
    weights.write_bytes(content)
    (signed / "version/model/extra.bin").write_bytes(b"x")
    assert not is_accepted(signed)


def test_we_accept_the_manifest_of_the_tool_of_openssf_and_refuse_a_changed_one(signed):
    theirs = signed / "theirs.sig"
    assert model_signing("sign", "key", signed / "version", "--signature", theirs, "--private_key", signed / "key.pem")
    found = read_manifest(theirs.read_bytes(), BELIEVED, "theirs")
    statement = read_signed(signed / "version", BELIEVED)
    expected = {item.name: item.digest["sha256"] for item in statement.subject}
    assert {name: digest for name, digest in found.items() if name != "provenance/attestation.json"} == expected
    bundle = read_json(theirs)
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"][0]["digest"] = "0" * 64
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    with pytest.raises(InputError, match="a signature of other bytes"):
        read_manifest(json.dumps(bundle).encode(), BELIEVED, "theirs")


def test_the_readers_of_in_toto_and_slsa_understand_the_statement(root, tmp_path):
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    make_version(root, tmp_path / "version", ED25519)
    envelope = read_json(tmp_path / "version/provenance/attestation.json")
    payload = json.loads(base64.b64decode(envelope["payload"]))
    theirs = Statement.copy_from_pb(ParseDict(payload, type(Statement([], "x", {}).pb)()))
    theirs.validate()
    ParseDict(payload["predicate"], Provenance())
    for dependency in payload["predicate"]["buildDefinition"]["resolvedDependencies"]:
        ResourceDescriptor.copy_from_pb(ParseDict(dependency, type(ResourceDescriptor(name="x").pb)())).validate()
