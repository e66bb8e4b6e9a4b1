"""The keys that sign statements and ledger entries, and the public keys that are believed.

In: the path of a key, or nothing. Out: signatures, and whether one is good. In between: a private key is made on
first use, whole or not at all, and is readable by its owner alone (0600); a key that others can read is refused.
The public half of each key lies beside it as ``NAME.pub.pem``; whoever puts another's public key into that folder
believes what that key signs, and nothing else is believed.

Covered: who signed exactly these bytes. Not covered: when (a signature holds no trusted clock), and a thief of the
private key.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from components.core.errors import InputError
from components.core.files import sha256_bytes, write_whole
from components.core.lock import STATE, WORKSPACE_VARIABLE

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
PublicKey = Ed25519PublicKey | EllipticCurvePublicKey
FOLDER = STATE / "keys"
# Names another key file than the workspace's own; `--key` sets it.
KEY_VARIABLE = "PEDIGREE_KEY"
_NAME, _PUBLIC_SUFFIX = "signing.pem", ".pub.pem"
_OWNER_ONLY, _OTHERS = 0o600, 0o077


def folder() -> Path:
    """Where the workspace keeps its keys; a stage, which works in its scratch folder, is told the workspace."""
    return Path(os.environ.get(WORKSPACE_VARIABLE) or ".").resolve() / FOLDER


def load_key(path: Path | None = None) -> PrivateKey:
    """The private key at ``path``, else at ``PEDIGREE_KEY``, else the workspace's own, which is made on first use.

    Raises InputError when a named key is missing, is no Ed25519 or ECDSA key, or can be read by others.
    """
    named = path or (Path(os.environ[KEY_VARIABLE]) if os.environ.get(KEY_VARIABLE) else None)
    place = named or folder() / _NAME
    if named is None and not place.exists():
        _make(place)
    return _read(place)


def sign(key: PrivateKey, data: bytes) -> bytes:
    """The signature of ``data``: Ed25519 (RFC 8032, deterministic), or ECDSA over SHA-256 in DER."""
    return key.sign(data) if isinstance(key, Ed25519PrivateKey) else key.sign(data, ECDSA(hashes.SHA256()))


def is_signed(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether the owner of ``key`` signed exactly ``data``."""
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, data)
        else:
            key.verify(signature, data, ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def key_id(key: PublicKey) -> str:
    """What a key is called: the SHA-256 of its SubjectPublicKeyInfo (RFC 5280) in DER."""
    return sha256_bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def public_pem(key: PublicKey) -> bytes:
    """The key as text that can be handed to others."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def believed_keys(place: Path | None = None) -> Mapping[str, PublicKey]:
    """By their ids, the public keys in ``place`` (the workspace's folder unless given) and that of ``PEDIGREE_KEY``.

    Raises InputError naming a file that holds no such key.
    """
    files = sorted((place or folder()).glob(f"*{_PUBLIC_SUFFIX}"))
    found = [load_public_key(path) for path in files]
    if place is None and os.environ.get(KEY_VARIABLE):
        found.append(load_key().public_key())
    return {key_id(key): key for key in found}


def load_public_key(place: Path) -> PublicKey:
    """The public key in a file. Raises InputError when there is none."""
    with suppress(OSError, ValueError, UnsupportedAlgorithm):
        key = load_pem_public_key(place.read_bytes())
        if isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey):
            return key
    raise _refuse(place, "something else", "an Ed25519 or ECDSA public key in PEM", "remove the file or replace it")


def believe(key: PublicKey) -> None:
    """Put a public key where the workspace keeps those that it believes; nothing happens when it is there."""
    if key_id(key) not in believed_keys(folder()):
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(folder() / f"{key_id(key)[:16]}{_PUBLIC_SUFFIX}", public_pem(key))


def _make(place: Path) -> None:
    """Write a new Ed25519 key and its public half; of several that try at once, one key stays."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    scratch = place.with_name(f".{place.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(scratch, pem, _OWNER_ONLY)
        with suppress(FileExistsError):
            os.link(scratch, place)
    finally:
        scratch.unlink(missing_ok=True)


def _read(place: Path) -> PrivateKey:
    if not place.is_file():
        raise _refuse(place, "no such file", "a private key in PEM", "name another with `--key`")
    if mode := place.stat().st_mode & _OTHERS:
        raise _refuse(place, f"a private key that others can use (mode {mode:03o})", "mode 0600",
                      f"`chmod 600 {place}`; if others may have read it, make a new key")  # fmt: skip
    key = _parse_private(place)
    beside = place.with_name(place.name.removesuffix(".pem") + _PUBLIC_SUFFIX)
    if place.parent == folder() and not beside.exists():
        # A maker that died between the two files leaves this to whoever reads first.
        with suppress(FileExistsError):
            _write_new(beside, public_pem(key.public_key()), 0o644)
    return key


def _parse_private(place: Path) -> PrivateKey:
    with suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = load_pem_private_key(place.read_bytes(), password=None)
        if isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
            return key
    raise _refuse(place, "something else", "an Ed25519 or ECDSA private key in PEM without a password",
                  "`openssl genpkey -algorithm ed25519 -out key.pem` makes one")  # fmt: skip


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _refuse(place: Path, found: str, expected: str, fix: str) -> InputError:
    return InputError(str(place), found=found, expected=expected, fix=fix)
