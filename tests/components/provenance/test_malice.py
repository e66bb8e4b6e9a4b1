"""Malicious versions, signed by a key that is believed: none runs code, none reads outside, all are refused at once."""

import base64
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.core.files import canonical_json, list_files, sha256_file
from components.core.keys import public_pem
from components.provenance.dsse import seal
from tests.components.provenance.malice import Payload, malicious_files
from tests.components.provenance.world import make_chain, make_version

KEY = Ed25519PrivateKey.generate()
ATTESTATION = "provenance/attestation.json"
MOST_SECONDS, MOST_BYTES = 1.0, 256 << 20
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """What happened when each malicious version was opened, by the name of the attack; and the traps."""
    base = tmp_path_factory.mktemp("malice")
    traps = base / "traps"
    traps.mkdir()
    (traps / "secret").write_text("secret")
    make_version(make_chain(base / "workspace"), base / "good", KEY)
    (base / "key.pub.pem").write_bytes(public_pem(KEY.public_key()))
    attacks = {"none": None, **malicious_files(traps)}
    folders = [plant(base / "good", base / f"version-{n}", attack) for n, attack in enumerate(attacks.values())]
    command = [sys.executable, "-m", "tests.components.provenance.attack", base / "key.pub.pem", traps, *folders]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip(attacks, told, strict=True)), traps


def plant(good, folder, attack):
    """A copy of a version with a malicious file in it, and a new signature over all that is there."""
    shutil.copytree(good, folder)
    if attack is None:
        return folder
    name, content = attack
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    if isinstance(content, Path):
        (folder / name).symlink_to(content)
    else:
        (folder / name).write_bytes(content)
    statement = json.loads(base64.b64decode(json.loads((folder / ATTESTATION).read_bytes())["payload"]))
    files = [found for found in list_files(folder) if found != ATTESTATION]
    signed = [(n, sha256_file(folder / n)) for n in files]
    statement["subject"] = [{"name": n, "digest": {"sha256": d}, "annotations": {}} for n, d in signed]
    (folder / ATTESTATION).write_bytes(seal(canonical_json(statement), KEY))
    return folder


def test_at_least_sixty_attacks_are_tried_and_the_good_version_is_accepted(opened):
    told, _ = opened
    assert told["none"]["outcome"] == "accepted"
    assert len(told) - 1 >= 60


def test_every_attack_is_refused_for_what_the_file_is(opened):
    told, _ = opened
    told = {name: found for name, found in told.items() if name != "none"}
    assert {name: found["outcome"] for name, found in told.items() if not is_refused(found)} == {}


def is_refused(found):
    return found["expected"].startswith(("plain data", "a sound", "a plain file"))


def test_no_attack_runs_code_or_reads_outside(opened):
    told, traps = opened
    assert {name: found["events"] for name, found in told.items() if found["events"]} == {}
    assert sorted(path.name for path in traps.iterdir()) == ["secret"]


def test_every_attack_is_refused_within_a_second_and_little_memory(opened):
    told, _ = opened
    assert {name: found["seconds"] for name, found in told.items() if found["seconds"] > MOST_SECONDS} == {}
    assert {name: found["bytes"] for name, found in told.items() if found["bytes"] > MOST_BYTES} == {}
    slowest, largest = (max(told, key=lambda name: told[name][key]) for key in ("seconds", "bytes"))
    print(f"{len(told) - 1} attacks; slowest {slowest}: {told[slowest]['seconds']:.2f} s; "
          f"largest {largest}: {told[largest]['bytes'] / 1e6:.0f} MB")  # fmt: skip


def test_the_attacks_are_real(tmp_path):
    evil = pickle.dumps(Payload(f"touch {tmp_path / 'canary'}"))
    subprocess.run([sys.executable, "-c", f"import pickle; pickle.loads({evil!r})"], check=True)
    assert (tmp_path / "canary").exists()
