"""The index of a fine-tuning says of every record and document when it was learned from, by identity and by text."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.collected import FILE, RECORDS
from components.core.examples import EXAMPLES, REJECTED, Asked, write_examples
from components.core.records import artifact_digest
from components.provenance.exposure import Exposure, key_of_document, key_of_text
from components.provenance.lessons import index_finetunings
from tests.components.provenance.world import finish, make_chain, make_raw, result, weights

# Application, record, and what stands in it.
RECORDED = [
    ("chat", "a" * 32, {"messages": [{"role": "user", "content": "Where is my parcel?"}]}),
    ("chat", "b" * 32, {"messages": [{"role": "user", "content": "Thank you."}]}),
    ("chat", "c" * 32, {"messages": [{"role": "user", "content": "Thank you."}]}),
    ("chat", "d" * 32, {"messages": [{"role": "user", "content": "Held out."}]}),
    ("chat", "e" * 32, {"messages": [{"role": "user", "content": "Not wanted."}]}),
    ("other", "f" * 32, {"text": "Of an application that was not learned."}),
]
# Example, split, what it was made of; then the first step that learned from each that was usable.
MADE = [("1", "train", "a"), ("2", "train", "a"), ("3", "train", "b"), ("4", "train", "c"), ("5", "test", "d"),
        ("6", "train", "g")]  # fmt: skip
STEPS = {"1": 7, "2": 4, "3": 9, "4": 2, "6": -1}


def write_records(folder):
    rows = [(record, application, "support", "uri", "CC-BY-4.0", "en", None, json.dumps(fields))
            for application, record, fields in RECORDED]  # fmt: skip
    pq.write_table(
        pa.Table.from_pylist([dict(zip(RECORDS.names, row, strict=True)) for row in rows], RECORDS), folder / FILE
    )


def examples_of(document):
    """A writer of the examples; that of ``g`` is of a document, ``e`` became none."""

    def write(folder):
        rows = [
            {"example_id": name, "split": split, "group": document if group == "g" else group * 32, "request": "{}",
             "prompt": name, "answer": name, "references": [name], "choices": [], "language": None,
             "source": "letters" if group == "g" else "support", "licence": "CC-BY-4.0", "expectations": []}
            for name, split, group in MADE
        ]  # fmt: skip
        asked = Asked(application="chat", decoding="write", choices=[], example={})
        write_examples(folder, pa.Table.from_pylist(rows, EXAMPLES), REJECTED.empty_table(), asked)

    return write


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """The index of a fine-tuning, and a document of the corpus that one of its examples was made of."""
    root = make_chain(tmp_path_factory.mktemp("lessons") / "workspace")
    data, (_, text, document, _) = root / "data", make_raw(root, 40)[0]
    collected = finish(data / "more", "collect", {}, {"sources": root / "records.lock.json"}, write_records)
    given = {"collected": collected, "corpus": data / "preprocess"}
    examples = finish(data / "prepare/chat", "prepare@chat", {}, given, examples_of(document))
    checks = finish(data / "check/chat", "check@chat", {}, {"subject": examples}, result())
    inputs = {
        "model": data / "train",
        "tokenizer": data / "tokenizer",
        "examples/chat": examples,
        "checks/chat": checks,
    }
    tuned = finish(data / "finetune/friend", "finetune@friend", {"applications": {"chat": 1.0}}, inputs, weights(5))
    ends = {"model": artifact_digest(data / "train"), "finetuned/friend": artifact_digest(tuned)}

    def steps(values, folders):
        assert values == {"applications": {"chat": 1.0}}
        assert folders == {"model": data / "train", "tokenizer": data / "tokenizer", "examples": data / "prepare",
                           "checks": data / "check", "finetuned": tuned}  # fmt: skip
        return STEPS

    (resource,) = index_finetunings(root / "index", data, ends, steps)
    return Exposure(root / "index", ends["finetuned/friend"], resource.digest["sha256"]), document, text


@pytest.mark.parametrize(("record", "split", "step"), [
    ("a", "train", 4), ("b", "train", 9), ("c", "train", 2), ("d", "test", None), ("e", "", None),
])  # fmt: skip
def test_a_record_is_found_by_identity_with_the_first_step_of_any_example_of_it(indexed, record, split, step):
    exposure, _, _ = indexed
    assert exposure.finetuned == "friend"
    hit = exposure.find(key_of_document(record * 32))
    assert (hit.split, hit.first_step) == (split, step)
    whole = exposure.find(key_of_text(next(json.dumps(fields) for _, name, fields in RECORDED if name[0] == record)))
    assert (whole.split, whole.first_step) in {(split, step), ("train", 2)}  # ``b`` and ``c`` are one text


@pytest.mark.parametrize(("text", "split", "step"), [
    ("Where is my parcel?", "train", 4), ("Thank you.", "train", 2), ("Held out.", "test", None),
    ("Not wanted.", "", None),
])  # fmt: skip
def test_a_text_in_a_record_is_found_at_the_earliest_step_of_all_that_say_it(indexed, text, split, step):
    hit = indexed[0].find(key_of_text(text))
    assert (hit.split, hit.first_step) == (split, step)


def test_a_document_that_examples_were_made_of_is_found_and_others_are_not(indexed):
    exposure, document, text = indexed
    for key in (key_of_document(document), key_of_text(text)):
        assert (exposure.find(key).split, exposure.find(key).first_step) == ("train", None)
    for absent in ("f" * 32, "0" * 32):
        assert exposure.find(key_of_document(absent)) is None
    assert exposure.find(key_of_text("Of an application that was not learned.")) is None


def test_sources_and_licences_are_summed_over_what_was_to_be_learned(indexed):
    exposure, _, _ = indexed
    support, letters = exposure.total("sources", "support"), exposure.total("sources", "letters")
    assert (support.documents, support.seen, support.first_step) == (3, 3, 2)
    assert (letters.documents, letters.seen, letters.first_step) == (1, 0, None)
    assert exposure.total("licences", "CC-BY-4.0").documents == 4
