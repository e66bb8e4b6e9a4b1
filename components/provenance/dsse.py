"""Signed envelopes: bytes, what kind they are, and who signed them.

In: a payload and a key, or the bytes of an envelope and the keys that are believed. Out: the bytes of an envelope,
or its payload. In between: DSSE v1 (github.com/secure-systems-lab/dsse, protocol.md). An envelope has exactly one
spelling here: another one of the same meaning is refused, so that not a single byte can change unseen.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.core.errors import InputError
from components.core.files import canonical_json
from components.core.keys import PrivateKey, PublicKey, is_signed, key_id, sign

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_FIX = "take the version from the registry that it was signed for, or put the signer's public key into .pedigree/keys"


class Signature(BaseModel):
    """One signature and the id of its key."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    keyid: str
    sig: str


class Envelope(BaseModel):
    """The JSON of an envelope; ``payload`` and ``sig`` are in base 64."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    payload: str
    payloadType: str
    signatures: list[Signature] = Field(min_length=1, max_length=1)


def seal(payload: bytes, key: PrivateKey) -> bytes:
    """The envelope of ``payload``, signed by ``key``."""
    signature = Signature(keyid=key_id(key.public_key()), sig=_encode(sign(key, encode_for_signing(payload))))
    envelope = Envelope(payload=_encode(payload), payloadType=PAYLOAD_TYPE, signatures=[signature])
    return canonical_json(envelope.model_dump(mode="json"))


def unseal(data: bytes, believed: Mapping[str, PublicKey], where: str) -> bytes:
    """The payload of an envelope that one of the ``believed`` keys signed. Raises InputError."""
    try:
        envelope = Envelope.model_validate_json(data)
        payload, signature = _decode(envelope.payload), _decode(envelope.signatures[0].sig)
    except (ValidationError, binascii.Error, ValueError):
        raise _refuse(where, "something else", "a DSSE envelope") from None
    if canonical_json(envelope.model_dump(mode="json")) != data or envelope.payloadType != PAYLOAD_TYPE:
        raise _refuse(where, "another spelling of an envelope", f"the one spelling, of type {PAYLOAD_TYPE}")
    signer = envelope.signatures[0].keyid
    key = believed.get(signer)
    if key is None:
        known = ", ".join(name[:16] for name in believed) or "none"
        raise _refuse(where, f"signed by the key {signer[:16]}", f"one of the believed keys: {known}")
    if not is_signed(key, signature, encode_for_signing(payload)):
        raise _refuse(where, "a signature of other bytes", f"one by the key {signer[:16]} of these bytes")
    return payload


def encode_for_signing(payload: bytes) -> bytes:
    """PAE: what is signed is the type and both lengths too, so that no part can pass for another (protocol.md)."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if _encode(data) != text:
        raise ValueError("unused bits that are not zero")
    return data


def _refuse(where: str, found: str, expected: str) -> InputError:
    return InputError(where, found=found, expected=expected, fix=_FIX)
