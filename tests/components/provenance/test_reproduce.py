"""Two makings of a version are compared stage by stage, and a difference is told with its cause."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.core.keys import key_id
from components.core.records import FileEntry, artifact_digest
from components.provenance import surroundings
from components.provenance.chain import artifacts_below, close, find_records
from components.provenance.dsse import unseal
from components.provenance.evidence import digests_of_pins
from components.provenance.reproduce import compare, sign_reproduced
from tests.components.provenance.world import make_chain

OTHER = FileEntry(bytes=1, sha256="0" * 64)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A chain of seven stages."""
    root = make_chain(tmp_path_factory.mktemp("reproduce") / "workspace")
    ends = {
        "evaluation": artifact_digest(root / "data/evaluate"),
        "tokenizer": artifact_digest(root / "data/tokenizer"),
    }
    found = find_records(artifacts_below(root / "data"), ends)
    return close(found, ends, digests_of_pins(root), "test")


def again(chain, **changes):
    """The records of a second making, with some fields of one stage changed."""
    records = {record.stage: record for record in chain.records.values()}
    for stage, values in changes.items():
        records[stage] = records[stage].model_copy(update=values)
    return records


def with_other_file(chain, stage, name):
    record = next(record for record in chain.records.values() if record.stage == stage)
    return {stage: {"files": {**record.files, name: OTHER}}}


def test_an_equal_making_has_no_difference(chain):
    assert compare(chain, again(chain), surroundings.describe()) is None


@pytest.mark.parametrize(("change", "what"), [
    ({"fingerprint": "a" * 64}, "its code or a library"), ({"params": {"seed": 2}}, "its values (seed)"),
    ({"inputs": {"documents": "a" * 64}}, "its input checks"), ({"files": {}}, "file documents-00000.parquet"),
])  # fmt: skip
def test_the_cause_is_named_before_its_consequences(chain, change, what):
    found = compare(chain, again(chain, preprocess=change, **with_other_file(chain, "train", "weights.safetensors")),
                    surroundings.describe())  # fmt: skip
    assert found.stage == "preprocess"
    assert found.what.startswith(what)


def test_a_stage_that_was_not_made_again_is_a_difference(chain):
    records = again(chain)
    del records["pack"]
    assert compare(chain, records, surroundings.describe()).what == "it was not made again"


def test_the_processor_is_blamed_only_where_it_can_be(chain):
    here = surroundings.describe()
    elsewhere = {**here, "processor": {**here["processor"], "instructions": ["amx_bf16"]}}
    libraries = {**here, "libraries": {"tensorflow": "1.0"}}
    trained = again(chain, **with_other_file(chain, "train", "weights.safetensors"))
    packed = again(chain, **with_other_file(chain, "pack", "layout.json"))
    assert compare(chain, trained, here).explanation.startswith("the processor does not explain it")
    assert compare(chain, trained, elsewhere).explanation.startswith("the processor explains it")
    assert compare(chain, trained, libraries).explanation.startswith("interpreter, libraries")
    assert compare(chain, packed, elsewhere).explanation.startswith("the processor does not explain it")


def test_a_reproduction_is_signed(chain):
    key = Ed25519PrivateKey.generate()
    signed = sign_reproduced("d" * 64, chain, from_raw=True, key=key)
    statement = json.loads(unseal(signed, {key_id(key.public_key()): key.public_key()}, "here"))
    assert statement["subject"] == [{"name": "version", "digest": {"sha256": "d" * 64}}]
    assert statement["predicate"]["fromRaw"] is True
    assert [entry["stage"] for entry in statement["predicate"]["stages"]][-1] == "evaluate"
