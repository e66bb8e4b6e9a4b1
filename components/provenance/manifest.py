"""The files of a version as OpenSSF model signing lists them, for readers who have its tool and not ours.

In: digests of files, an ECDSA key. Out: ``model.sig``, which ``model_signing verify key`` accepts
(github.com/sigstore/model-transparency, predicate https://model_signing/signature/v1.0 in a Sigstore bundle v0.3).
In between: the very digests that the attestation has; the tool takes no Ed25519 key, so there is such a file only
where the signer's key is ECDSA.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from components.core.errors import InputError
from components.core.files import canonical_json, sha256_bytes
from components.core.keys import PublicKey, is_signed, public_pem, sign
from components.provenance.dsse import PAYLOAD_TYPE, encode_for_signing

MANIFEST = "model.sig"
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PREDICATE = "https://model_signing/signature/v1.0"
_STATEMENT = "https://in-toto.io/Statement/v1"


def sign_manifest(name: str, files: Mapping[str, str], ignored: Sequence[str], key: EllipticCurvePrivateKey) -> bytes:
    """The bundle over ``files`` (path to SHA-256), signed by ``key``; it tells the tool to look past ``ignored``."""
    payload = json.dumps(_statement(name, files, ignored), sort_keys=True).encode()
    signature = {"sig": _encode(sign(key, encode_for_signing(payload))), "keyid": ""}
    hint = sha256_bytes(public_pem(key.public_key()))
    return canonical_json({
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {"payload": _encode(payload), "payloadType": PAYLOAD_TYPE, "signatures": [signature]},
    })  # fmt: skip


def read_manifest(data: bytes, believed: Mapping[str, PublicKey], where: str) -> dict[str, str]:
    """The files of a bundle, by their path, that a believed key signed. Raises InputError."""
    try:
        bundle = json.loads(data)
        envelope, hint = bundle["dsseEnvelope"], bundle["verificationMaterial"]["publicKey"]["hint"]
        payload, signature = (_decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"]))
    except (ValueError, KeyError, TypeError, IndexError, binascii.Error):
        raise _refuse(where, "something else", "a bundle of OpenSSF model signing") from None
    key = next((key for key in believed.values() if sha256_bytes(public_pem(key)) == hint), None)
    if key is None:
        raise _refuse(where, f"signed by the key {str(hint)[:16]}", "a believed key")
    if not is_signed(key, signature, encode_for_signing(payload)):
        raise _refuse(where, "a signature of other bytes", "one of these bytes")
    return _files(payload, where)


def _files(payload: bytes, where: str) -> dict[str, str]:
    statement = json.loads(payload)
    found = {item["name"]: item["digest"] for item in statement["predicate"]["resources"]}
    root = statement["subject"][0]["digest"]["sha256"]
    if (statement["predicateType"], root) != (_PREDICATE, _root(found)):
        raise _refuse(where, f"{statement['predicateType']} with root {root}", f"{_PREDICATE}, root {_root(found)}")
    return found


def _statement(name: str, files: Mapping[str, str], ignored: Sequence[str]) -> dict[str, Any]:
    resources = [{"name": path, "algorithm": "sha256", "digest": files[path]} for path in _in_order(files)]
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": list(ignored)}
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _root(files)}}],
        "predicateType": _PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    }


def _root(files: Mapping[str, str]) -> str:
    """One digest over those of all files, in the order of their paths."""
    return hashlib.sha256(b"".join(bytes.fromhex(files[path]) for path in _in_order(files))).hexdigest()


def _in_order(files: Iterable[str]) -> list[str]:
    """As the tool has them, by the parts of their paths: ``a/b`` comes before ``a.b``."""
    return sorted(files, key=lambda path: path.split("/"))


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _refuse(where: str, found: str, expected: str) -> InputError:
    fix = "take the version from where it was signed, or put the signer's public key into .pedigree/keys"
    return InputError(where, found=found, expected=expected, fix=fix)
