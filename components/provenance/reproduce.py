"""Two makings of one version compared, and what is signed when they are equal.

In: the chain of a version and the records of its second making. Out: the first difference, or nothing; a signed
statement. In between: stages are compared in the order in which they were made, so that the first difference is the
cause and not a consequence.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.core.files import canonical_json
from components.core.keys import PrivateKey
from components.core.records import Record
from components.provenance import surroundings
from components.provenance.chain import Chain
from components.provenance.dsse import seal
from components.provenance.statement import STATEMENT_TYPE

REPRODUCED = "urn:pedigree:reproduced:v1"
# Stages whose bits come out of floating-point kernels, which differ from one instruction set to another.
_NUMERIC = ("train", "finetune", "evaluate", "assess")


@dataclass(frozen=True)
class Difference:
    """The first stage that came out different, in what, and whether another processor explains it."""

    stage: str
    what: str
    explanation: str


def compare(chain: Chain, again: Mapping[str, Record], attested: Mapping[str, Any]) -> Difference | None:
    """The first difference between a chain and the records of a second making, by the name of the stage.

    ``attested`` are the surroundings of the first making.
    """
    for record in chain.records.values():
        second = again.get(record.stage)
        difference = "it was not made again" if second is None else next(_differences(record, second), None)
        if difference:
            is_file = difference.startswith("file ")
            return Difference(record.stage, difference, explain(record.stage, attested) if is_file else "")
    return None


def explain(stage: str, attested: Mapping[str, Any]) -> str:
    """Whether processor or libraries explain that a stage of equal inputs and code gave other bytes."""
    here = surroundings.describe()
    if not stage.startswith(_NUMERIC):
        return "the processor does not explain it: this stage computes nothing that depends on one"
    if here["processor"]["instructions"] != attested["processor"]["instructions"]:
        ours, theirs = (set(told["processor"]["instructions"]) for told in (here, attested))
        names = f"{attested['processor']['name']} (attested) and {here['processor']['name']} (here)"
        return f"the processor explains it: of {names} only one has {', '.join(sorted(ours ^ theirs))}"
    if any(here[name] != attested[name] for name in ("interpreter", "libraries", "environment")):
        return "interpreter, libraries or their environment explain it: they are not those that were attested"
    return "the processor does not explain it: it has the instruction sets that were attested"


def sign_reproduced(digest: str, chain: Chain, *, from_raw: bool, key: PrivateKey) -> bytes:
    """A signed statement that a version was made again, here, with equal bytes."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    stages = [{"stage": record.stage, "record": name} for name, record in chain.records.items()]
    return seal(canonical_json({
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "version", "digest": {"sha256": digest}}],
        "predicateType": REPRODUCED,
        "predicate": {"fromRaw": from_raw, "stages": stages, "surroundings": surroundings.describe(),
                      "finishedOn": now.replace("+00:00", "Z")},
    }), key)  # fmt: skip


def _differences(first: Record, second: Record) -> Iterator[str]:
    """What differs between two makings of a stage, causes before consequences."""
    if first.fingerprint != second.fingerprint:
        yield f"its code or a library (fingerprint {first.fingerprint[:16]}, now {second.fingerprint[:16]})"
    if first.params != second.params:
        odd = sorted(key for key in {*first.params, *second.params} if first.params.get(key) != second.params.get(key))
        yield f"its values ({', '.join(odd)})"
    for name in sorted({*first.inputs, *second.inputs}):
        if first.inputs.get(name) != second.inputs.get(name):
            yield f"its input {name}"
    for name in sorted({*first.files, *second.files}):
        if first.files.get(name) != second.files.get(name):
            yield f"file {name}"
