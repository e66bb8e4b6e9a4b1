"""Keys: made once, private, and only what a believed key signed is believed."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from components.core import keys
from components.core.errors import InputError
from components.core.lock import WORKSPACE_VARIABLE


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.delenv(WORKSPACE_VARIABLE, raising=False)
    monkeypatch.delenv(keys.KEY_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_ecdsa(path):
    key = generate_private_key(SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


def test_a_key_is_made_on_first_use_for_its_owner_alone_and_kept():
    first = keys.load_key()
    private = keys.folder() / "signing.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    assert keys.key_id(keys.load_key().public_key()) == keys.key_id(first.public_key())
    assert list(keys.believed_keys()) == [keys.key_id(first.public_key())]


def test_processes_that_make_the_first_key_at_once_agree_on_it():
    program = "from components.core import keys; print(keys.key_id(keys.load_key().public_key()))"

    def ask(_):
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 1
    assert not list(keys.folder().glob(".*"))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_signature_is_good_for_exactly_the_signed_bytes_and_key(kind, workspace):
    key = keys.load_key() if kind == "ed25519" else keys.load_key(write_ecdsa(workspace / "ec.pem"))
    signature = keys.sign(key, b"text")
    assert keys.is_signed(key.public_key(), signature, b"text")
    assert not keys.is_signed(key.public_key(), signature, b"texT")
    assert not keys.is_signed(key.public_key(), signature[:-1] + bytes([signature[-1] ^ 1]), b"text")
    other = keys.load_key(write_ecdsa(workspace / "other.pem"))
    assert not keys.is_signed(other.public_key(), signature, b"text")


def test_a_named_key_is_used_and_believed(workspace, monkeypatch):
    monkeypatch.setenv(keys.KEY_VARIABLE, str(write_ecdsa(workspace / "ec.pem")))
    assert list(keys.believed_keys()) == [keys.key_id(keys.load_key().public_key())]
    assert not keys.folder().exists()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("nothing"), "something else"),
        (lambda path: write_ecdsa(path).chmod(0o640), "others can use"),
    ],
)
def test_a_key_that_is_missing_odd_or_open_to_others_is_refused(workspace, prepare, message):
    path = workspace / "key.pem"
    prepare(path)
    if path.exists() and "others" not in message:
        path.chmod(0o600)
    with pytest.raises(InputError, match=message):
        keys.load_key(path)


def test_what_is_no_public_key_among_the_believed_is_refused():
    keys.load_key()
    (keys.folder() / "friend.pub.pem").write_text("nothing")
    with pytest.raises(InputError, match=r"friend\.pub\.pem"):
        keys.believed_keys()
