"""Nothing in a version, and nothing behind it, changes unseen: every leaf is mutated, and every mutant refused."""

import base64
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.core.errors import InputError
from components.core.files import canonical_json, list_files
from components.core.keys import key_id, sign
from components.provenance.chain import artifacts_below
from components.provenance.dsse import encode_for_signing, seal
from components.provenance.verify import verify_stages, verify_version
from tests.components.provenance.world import make_chain, make_version

KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
BELIEVED = {key_id(KEY.public_key()): KEY.public_key()}
ATTESTATION = "provenance/attestation.json"


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Two versions of one name: the folder of each, with its digest."""
    base = tmp_path_factory.mktemp("versions")
    found = []
    for seed in (1, 2):
        root = make_chain(base / f"workspace-{seed}", seed=seed)
        found.append((base / f"version-{seed}", make_version(root, base / f"version-{seed}", KEY)))
    return found


def is_refused(folder, digest):
    try:
        verify_version(folder, BELIEVED, digest)
    except InputError:
        return True
    return False


def survivors(folder, digest, mutations):
    """Names of the mutations that were not refused, and how many were tried; each starts from the same folder."""
    before = {name: (folder / name).read_bytes() for name in list_files(folder)}
    tried, alive = 0, []
    for name, mutate in mutations:
        mutate(folder)
        tried += 1
        if not is_refused(folder, digest):
            alive.append(name)
        restore(folder, before)
    assert not is_refused(folder, digest)
    return alive, tried


def restore(folder, before):
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or (path.is_file() and name not in before):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name, content in before.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def of_files(folder, other):
    """Ten ways to spoil each file."""
    for name in list_files(folder):
        content = (folder / name).read_bytes()
        for way, spoiled in {
            "first bit": bytes([content[0] ^ 1]) + content[1:], "last bit": content[:-1] + bytes([content[-1] ^ 128]),
            "middle bit": content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 4])
            + content[len(content) // 2 + 1 :], "cut": content[:-1], "longer": content + b"\n", "empty": b"",
        }.items():  # fmt: skip
            yield f"{name}, {way}", lambda f, n=name, c=spoiled: (f / n).write_bytes(c)
        yield f"{name}, gone", lambda f, n=name: (f / n).unlink()
        yield f"{name}, renamed", lambda f, n=name: (f / n).rename(f / f"{n}.old")
        yield f"{name}, a link", lambda f, n=name: make_link(f / n)
        if (other / name).exists() and (other / name).read_bytes() != content:
            yield f"{name}, of the other version", lambda f, n=name: shutil.copyfile(other / n, f / n)


def make_link(path):
    copy = path.parents[len(path.parents) - 2] / path.name
    shutil.copyfile(path, copy)
    path.unlink()
    path.symlink_to(copy)


def of_folders(folder):
    """Things that were not signed."""
    for place in sorted({Path(name).parent.as_posix() for name in list_files(folder)} | {"."}):
        yield f"{place}, extra file", lambda f, p=place: (f / p / "extra.json").write_bytes(b"{}")
        yield f"{place}, hidden file", lambda f, p=place: (f / p / ".hidden").write_bytes(b"")
        yield f"{place}, empty folder", lambda f, p=place: (f / p / "empty").mkdir()
        yield f"{place}, .git", lambda f, p=place: write(f / p / ".git" / "config", b"x")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def of_signed_values(folder):
    """Every leaf of the statement changed, signed by nobody, by a stranger, and by a stranger in the signer's name."""
    envelope = json.loads((folder / ATTESTATION).read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    for number, changed in enumerate(changed_leaves(statement)):
        payload = canonical_json(changed)
        for who, signature in {
            "the old signature": envelope["signatures"][0],
            "a stranger": signed(payload, STRANGER, STRANGER),
            "a stranger in the signer's name": signed(payload, STRANGER, KEY),
        }.items():
            value = {**envelope, "payload": base64.b64encode(payload).decode(), "signatures": [signature]}
            yield f"statement leaf {number}, {who}", lambda f, v=value: write(f / ATTESTATION, canonical_json(v))


def of_envelope(folder):
    """Every leaf of the envelope changed, and other spellings of the same envelope."""
    envelope = json.loads((folder / ATTESTATION).read_bytes())
    for number, changed in enumerate(changed_leaves(envelope)):
        yield f"envelope leaf {number}", lambda f, v=changed: write(f / ATTESTATION, canonical_json(v))
    spellings = {
        "spaces": json.dumps(envelope).encode(), "another field": canonical_json({**envelope, "note": "x"}),
        "two signatures": canonical_json({**envelope, "signatures": envelope["signatures"] * 2}),
        "no signature": canonical_json({**envelope, "signatures": []}),
        "unpadded": canonical_json({**envelope, "payload": envelope["payload"].rstrip("=") + "\n"}),
    }  # fmt: skip
    for name, content in spellings.items():
        yield f"envelope, {name}", lambda f, c=content: write(f / ATTESTATION, c)


def signed(payload, key, named):
    signature = base64.b64encode(sign(key, encode_for_signing(payload))).decode()
    return {"keyid": key_id(named.public_key()), "sig": signature}


def changed_leaves(value):
    """Copies of a JSON value, each with one leaf changed or one field removed."""
    if isinstance(value, dict):
        for key in value:
            yield {name: item for name, item in value.items() if name != key}
            yield from ({**value, key: changed} for changed in changed_leaves(value[key]))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in changed_leaves(item))
    elif isinstance(value, str):
        yield value[:-1] + ("0" if value[-1:] != "0" else "1")
    else:
        yield (not value) if isinstance(value, bool) else 7 if value is None else value + 1


def test_a_version_that_nobody_touched_is_verified(versions):
    folder, digest = versions[0]
    verified = verify_version(folder, BELIEVED, digest)
    assert (verified.name, verified.digest, len(verified.chain.records)) == ("tiny", digest, 11)


def test_no_mutation_of_a_version_survives(versions, tmp_path):
    (first, digest), (other, _) = versions
    folder = shutil.copytree(first, tmp_path / "version")
    mutations = [*of_files(folder, other), *of_folders(folder), *of_envelope(folder), *of_signed_values(folder)]
    alive, tried = survivors(folder, digest, mutations)
    assert alive == []
    assert tried >= 500
    print(f"{tried} mutations of a version, none survived")


def test_a_swapped_version_is_refused(versions):
    (first, digest), (other, other_digest) = versions
    assert is_refused(first, other_digest)
    assert is_refused(other, digest)


def test_an_old_statement_of_the_same_name_is_refused(versions, tmp_path):
    (first, digest), (other, _) = versions
    folder = shutil.copytree(first, tmp_path / "version")
    shutil.copyfile(other / ATTESTATION, folder / ATTESTATION)
    assert is_refused(folder, digest)
    shutil.rmtree(folder / "provenance")
    shutil.copytree(other / "provenance", folder / "provenance")
    assert is_refused(folder, None)


def test_nothing_is_believed_of_a_key_that_nobody_put_there(versions):
    folder, digest = versions[0]
    stranger = {key_id(STRANGER.public_key()): STRANGER.public_key()}
    with pytest.raises(InputError, match="signed by the key"):
        verify_version(folder, stranger, digest)
    with pytest.raises(InputError, match="signed by the key"):
        verify_version(folder, {}, digest)


def differs(value, told):
    """Whether something else than the name differs."""
    return {**value, "name": ""} != {**told, "name": ""}


def test_a_believed_signer_who_contradicts_the_records_is_refused(versions, tmp_path):
    folder = shutil.copytree(versions[0][0], tmp_path / "version")
    payload = base64.b64decode(json.loads((folder / ATTESTATION).read_bytes())["payload"])
    for part in ("externalParameters", "resolvedDependencies"):
        statement = json.loads(payload)
        build = statement["predicate"]["buildDefinition"]
        told = build[part][1:] if part == "resolvedDependencies" else build[part]
        # Under which name it was registered is the signer's to say; all else stands in the records.
        for changed in changed_leaves(told):
            if part == "externalParameters" and not differs(changed, told):
                continue
            build[part] = [build[part][0], *changed] if part == "resolvedDependencies" else changed
            (folder / ATTESTATION).write_bytes(seal(canonical_json(statement), KEY))
            assert is_refused(folder, None), changed
    statement = json.loads(payload)
    statement["predicate"]["buildDefinition"]["internalParameters"]["seeds"]["train.seed"] = 7
    (folder / ATTESTATION).write_bytes(seal(canonical_json(statement), KEY))
    assert is_refused(folder, None)


def test_no_mutation_behind_a_version_survives(tmp_path):
    root = make_chain(tmp_path / "workspace")
    make_version(root, tmp_path / "version", KEY)
    chain = verify_version(tmp_path / "version", BELIEVED).chain
    folders = artifacts_below(root / "data")

    def verify_all():
        return sum(size for _, size in verify_stages(chain, locate))

    def locate(digest, record):
        return {name: folders[digest] / name for name in record.files} if digest in folders else None

    assert verify_all() > 0
    tried = 0
    for folder in folders.values():
        for name in set(list_files(folder)) - {"record.json"}:
            content = (folder / name).read_bytes()
            for spoiled in (content[:-1], bytes([content[0] ^ 1]) + content[1:], content + b"x", None):
                (folder / name).unlink()
                if spoiled is not None:
                    (folder / name).write_bytes(spoiled)
                with pytest.raises(InputError, match=str(folder / name)):
                    verify_all()
                (folder / name).write_bytes(content)
                tried += 1
    assert tried >= 60
    digest = next(iter(folders))
    folders.pop(digest)
    with pytest.raises(InputError, match="not on this machine"):
        verify_all()


def test_the_first_leaf_that_fails_is_named(versions, tmp_path):
    folder = shutil.copytree(versions[0][0], tmp_path / "version")
    for name in ("provenance/code.tar", "model/weights.safetensors"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError) as caught:
        verify_version(folder, BELIEVED)
    assert caught.value.where == str(folder / "model/weights.safetensors")
