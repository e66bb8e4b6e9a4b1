"""The index says of every document exactly what a slow reading of all batches says."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.core.errors import InputError
from components.core.files import read_json
from components.core.records import artifact_digest
from components.core.tokens import Stream, TokenSplit
from components.provenance.attest import Order, attest, dependencies
from components.provenance.evidence import read_chain
from components.provenance.exposure import (
    BYPRODUCT,
    COPY,
    DOCUMENT,
    TEXT,
    Exposure,
    build,
    first_steps,
    index_trainings,
    key_of_document,
    key_of_text,
)
from components.provenance.paging import PAGE_BYTES, PagedRows, write_rows
from components.train.schedule import windows_of_step
from tests.components.provenance.world import CONTEXT, finish, make_chain, make_raw, order_of, raw_text, weights

SEED, BATCH, STEPS = 7, 3, 4


def window_steps(num_windows):
    """The first step of each window, by going through all batches."""
    first = np.full(num_windows, -1, dtype=np.int64)
    for step in reversed(range(STEPS)):
        first[windows_of_step(step, seed=SEED, batch_windows=BATCH, num_windows=num_windows)] = step
    return first


def slow_first_step(split, row):
    """The first step whose batch shows a token of a document, by looking at every window of every batch."""
    begin, end = split.offsets[row], split.offsets[row + 1]
    for step in range(STEPS):
        for window in windows_of_step(step, seed=SEED, batch_windows=BATCH, num_windows=split.num_windows):
            first = window * CONTEXT
            if first < end and begin < first + CONTEXT + 1:
                return step
    return -1


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """A workspace, its raw documents and the index of its training."""
    root = make_chain(tmp_path_factory.mktemp("exposure") / "workspace")
    split = TokenSplit.open(root / "data/pack", "train")
    steps = window_steps(split.num_windows)
    model = artifact_digest(root / "data/train")
    licences = {"letters": "CC-BY-4.0", "papers": "GPL-2.0-only"}
    folders = tuple(root / "data" / name for name in ("ingest", "preprocess", "pack"))
    digest = build(root / "index", model, folders, steps, licences, ("c", "t"))
    return root, split, model, digest


def raw_of(root):
    return make_raw(root, 40)


def test_first_steps_are_those_of_a_slow_reading(indexed):
    _, split, _, _ = indexed
    expected = [slow_first_step(split, row) for row in range(split.num_documents)]
    assert first_steps(split, window_steps(split.num_windows)).tolist() == expected
    assert {-1, 0} < set(expected)


def test_every_document_is_found_by_identity_and_by_text(indexed):
    root, split, model, digest = indexed
    exposure, row = Exposure(root / "index", model, digest), 0
    for _, text, doc_id, where in raw_of(root):
        by_id, by_text = exposure.find(key_of_document(doc_id)), exposure.find(key_of_text(text))
        assert (by_id.kind, by_text.kind) == (DOCUMENT, TEXT)
        assert exposure.find(key_of_text(raw_text(text))) == by_text
        assert by_id.split == by_text.split == where
        if where == "train":
            expected = slow_first_step(split, row)
            assert by_id.first_step == by_text.first_step == (None if expected < 0 else expected)
            row += 1
        else:
            assert by_id.first_step is None
    assert exposure.find(key_of_document("0" * 32)) is None
    assert exposure.find(key_of_text("nowhere")) is None


def test_a_dropped_copy_leads_to_the_text_that_was_kept(indexed):
    from components.core.documents import document_id

    root, _, model, digest = indexed
    exposure = Exposure(root / "index", model, digest)
    source, _, kept, _ = raw_of(root)[0]
    copy = exposure.find(key_of_document(document_id(source, "copy")))
    assert copy.kind == COPY
    assert copy.first_step == exposure.find(key_of_document(kept)).first_step


def test_sources_and_licences_are_summed(indexed):
    root, split, model, digest = indexed
    exposure = Exposure(root / "index", model, digest)
    letters = exposure.total("sources", "letters")
    assert letters == exposure.total("licences", "CC-BY-4.0")
    assert letters.documents == 18
    steps = [slow_first_step(split, row) for row in range(18)]
    assert letters.first_step == min(step for step in steps if step >= 0)
    assert letters.seen == sum(step >= 0 for step in steps)
    assert exposure.total("sources", "nobody") is None


def test_an_index_of_another_digest_is_refused(indexed):
    root, _, model, digest = indexed
    with pytest.raises(InputError, match="as attested"):
        Exposure(root / "index", model, "0" * 64)
    summary = read_json(root / "index" / f"steps-{model}" / "summary.json")
    places = root / "index" / f"places-{summary['places']['name']}"
    before = (places / "places.bin").read_bytes()
    (places / "places.bin").write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(InputError, match="page 0"):
        Exposure(root / "index", model, digest).find(key_of_text("x"))
    (places / "places.bin").write_bytes(before)


def test_every_page_is_checked_when_it_is_touched(tmp_path):
    rows = np.arange(100_000, dtype="<i4")
    digest = write_rows(tmp_path / "rows", rows)
    assert [int(PagedRows(tmp_path / "rows", "<i4", digest)[at]) for at in (0, 20_000, 99_999)] == [0, 20_000, 99_999]
    data = bytearray((tmp_path / "rows").read_bytes())
    data[PAGE_BYTES + 5] ^= 1
    (tmp_path / "rows").write_bytes(bytes(data))
    damaged = PagedRows(tmp_path / "rows", "<i4", digest)
    assert int(damaged[0]) == 0
    with pytest.raises(InputError, match="page 1"):
        damaged[PAGE_BYTES // 4]
    (tmp_path / "rows.pages").write_bytes(b"")
    with pytest.raises(InputError, match="other digests"):
        PagedRows(tmp_path / "rows", "<i4", digest)


def test_a_document_over_many_windows_and_one_in_the_rest_are_counted_right(tmp_path):
    lengths = [1, 30, 2, 50, 3, 1, 4]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    stream = Stream((np.zeros(sum(lengths), dtype="<u2"),), 1 << 20)
    split = TokenSplit(tmp_path, "train", CONTEXT, stream, offsets)
    found = first_steps(split, window_steps(split.num_windows))
    assert found.tolist() == [slow_first_step(split, row) for row in range(len(lengths))]


def test_a_training_is_indexed_from_its_record(tmp_path):
    root = make_chain(tmp_path / "workspace")
    asked = []

    def steps(params, tokens, checks, model):
        asked.append((params, tokens, checks, model))
        return window_steps(TokenSplit.open(tokens, "train").num_windows)

    model = artifact_digest(root / "data/train")
    (resource,) = index_trainings(root / "index", root / "data", model, steps)
    assert resource.name == BYPRODUCT + model
    assert asked == [
        ({"seed": 1, "num_steps": 5}, root / "data/pack", root / "data/validate/documents", root / "data/train")
    ]
    assert Exposure(root / "index", model, resource.digest["sha256"]).total("sources", "letters").documents == 18


def test_a_model_that_was_trained_on_from_another_has_both_indexes_and_names_its_parent(tmp_path):
    root = make_chain(tmp_path / "workspace")
    data = root / "data"
    inputs = {"tokens": data / "pack", "checks": data / "validate/documents", "parent": data / "train"}
    tuned = finish(data / "tuned", "train", {"seed": 2}, inputs, weights(2))
    order = Order("tuned", {**order_of(root).parts, "model": tuned}, data, root, root / "code")
    parent, model = artifact_digest(data / "train"), artifact_digest(tuned)
    steps = index_trainings(root / "index", data, model, lambda *_: window_steps(26))
    assert [resource.name for resource in steps] == [BYPRODUCT + model, BYPRODUCT + parent]
    attest(order, Ed25519PrivateKey.generate(), steps, tmp_path / "version")
    folder = tmp_path / "version/provenance"
    chain = read_chain(folder, order.ends, "test")
    assert [digest for digest, _ in chain.parents(model)] == [parent]
    roles = {r.digest["sha256"]: r.annotations.get("role") for r in dependencies(folder, chain, order.ends)}
    assert (roles[parent], roles[model]) == ("parent model", "model")
    assert f"Parent model: `{parent}`" in (folder / "model-card.md").read_text()
