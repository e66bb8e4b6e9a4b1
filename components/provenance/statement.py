"""What is said of a version, in the words of in-toto and SLSA.

In: facts. Out: a statement that any reader of in-toto Statement v1 with SLSA Provenance v1 understands, strict when
it is read (in-toto/attestation, spec/v1/statement.md; slsa.dev/spec/v1.0/provenance).

    subject                        every file of the version, by its path and SHA-256
    buildDefinition
      externalParameters           name and digest of the version, and every value of every stage
      internalParameters           seeds, processor, the variables that TensorFlow and oneDNN listen to
      resolvedDependencies         code, locks, raw objects, the record of every stage (tokenizer and parents named)
    runDetails
      builder, metadata            who built, when it was signed
      byproducts                   the index that answers which documents the model was trained on
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.core.errors import InputError
from components.core.files import canonical_json

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
SLSA: Literal["https://slsa.dev/provenance/v1"] = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:pedigree:chain:v1"
BUILDER = "urn:pedigree:builder:v1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Resource(_Part):
    """A thing with a digest: a ResourceDescriptor of in-toto, without the fields that nothing here needs."""

    name: str
    digest: dict[str, str]
    uri: str | None = None
    annotations: dict[str, Any] = Field(default_factory=dict)


class BuildDefinition(_Part):
    """What was built, with which values, from what."""

    buildType: str
    externalParameters: dict[str, Any]
    internalParameters: dict[str, Any]
    resolvedDependencies: list[Resource]


class Builder(_Part):
    """What built it."""

    id: str
    version: dict[str, str]


class Metadata(_Part):
    """Which build it was, and when it was over; the clock is that of whoever signed."""

    invocationId: str
    finishedOn: str


class RunDetails(_Part):
    """How it was built."""

    builder: Builder
    metadata: Metadata
    byproducts: list[Resource]


class Provenance(_Part):
    """The predicate of SLSA."""

    buildDefinition: BuildDefinition
    runDetails: RunDetails


class Statement(_Part):
    """What a signed envelope holds."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type", default=STATEMENT_TYPE)
    subject: list[Resource] = Field(min_length=1)
    predicateType: Literal["https://slsa.dev/provenance/v1"] = SLSA
    predicate: Provenance

    @property
    def digest(self) -> str:
        """The digest of the version that it speaks of."""
        return str(self.predicate.buildDefinition.externalParameters.get("digest"))

    def to_bytes(self) -> bytes:
        """The JSON that is signed; equal statements give equal bytes."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))


def read_statement(payload: bytes, where: str) -> Statement:
    """The statement in a payload, read strictly; it too has one spelling. Raises InputError."""
    try:
        statement = Statement.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _refuse(where, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if statement.to_bytes() != payload:
        raise _refuse(where, "another spelling of a statement")
    return statement


def _refuse(where: str, found: str) -> InputError:
    fix = "register the model again with this release"
    return InputError(where, found=found, expected="a statement of SLSA provenance v1", fix=fix)
