"""Packing a corpus, and reading it back window by window."""

import json

import numpy as np
import pytest

from components.core.canaries import SOURCE, canary
from components.core.crew import Crew
from components.core.documents import document_id
from components.core.errors import InputError
from components.core.files import list_files, sha256_file
from components.core.tokens import SPLITS, TokenSplit, count_windows, read_layout
from components.pack import PackConfig, pack
from components.tokenizer.codec import Codec
from tests.components.pack.world import CONFIG, make_world, write_checks, write_tokenizer
from tests.components.tokenizer.world import make_rows, write_corpus

CONTEXT = CONFIG["context_tokens"]


def pack_into(folder, inputs, **values):
    folder.mkdir()
    return pack(PackConfig(**{**CONFIG, **values}), **inputs, output=folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def packed(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "out"
    return folder, pack_into(folder, world)


def test_every_text_comes_back_from_the_stream_or_was_quarantined(world, packed):
    folder, report = packed
    codec, found = Codec.load(world["tokenizer"]), {}
    for name in SPLITS:
        split = TokenSplit.open(folder, name)
        for position, doc_id in enumerate(split.documents().column("doc_id").to_pylist()):
            *tokens, last = split.document(position).tolist()
            assert last == codec.end_of_text
            found[doc_id] = (name, codec.decode(tokens))
    rows = make_rows()
    expected = {document_id("notes", str(n)): row for n, row in enumerate(rows) if n != 4}
    assert found == expected
    assert (report.books.received, report.books.kept, report.books.dropped) == (40, 39, {"quarantined": 1})


def test_the_table_tells_the_size_of_each_document(packed):
    texts = {document_id("notes", str(n)): text for n, (_, text) in enumerate(make_rows())}
    for name in SPLITS:
        split = TokenSplit.open(packed[0], name)
        for row, length in zip(split.documents().to_pylist(), np.diff(split.offsets).tolist(), strict=True):
            assert row["num_bytes"] == len(texts[row["doc_id"]].encode())
            assert (row["num_tokens"], row["source"]) == (length, "notes")


def test_layout_and_report_tell_what_the_files_hold(packed):
    folder, report = packed
    layout = read_layout(folder)
    assert (layout.vocabulary_size, layout.dtype, layout.context_tokens) == (300, "uint16", CONTEXT)
    for name, split in layout.splits.items():
        stream = np.load(folder / f"{name}-00000.tokens.npy")
        assert (split.tokens, stream.dtype.str) == (len(stream), "<u2")
        assert split.windows == count_windows(len(stream), CONTEXT) == report.metrics[f"{name}_windows"]


def test_a_window_is_its_part_of_the_stream_and_one_token_more(packed):
    split = TokenSplit.open(packed[0], "train")
    stream = np.array(split.stream)
    windows = split.windows(np.arange(split.num_windows))
    assert windows.shape == (split.num_windows, CONTEXT + 1)
    for number, window in enumerate(windows):
        assert window.tolist() == stream[number * CONTEXT : number * CONTEXT + CONTEXT + 1].tolist()
    assert (split.num_windows + 1) * CONTEXT + 1 > len(stream)


@pytest.mark.parametrize("positions", [[-1], [0, 10**6]])
def test_a_window_that_is_not_there_is_refused(packed, positions):
    with pytest.raises(IndexError):
        TokenSplit.open(packed[0], "train").windows(np.array(positions))


def test_windows_lead_to_their_documents_and_back(packed):
    split = TokenSplit.open(packed[0], "train")
    owner = np.repeat(np.arange(split.num_documents), np.diff(split.offsets))
    shown = {w: set(owner[w * CONTEXT : w * CONTEXT + CONTEXT + 1].tolist()) for w in range(split.num_windows)}
    for window, documents in shown.items():
        assert set(split.documents_of(window)) == documents
    for document in range(split.num_documents):
        assert list(split.windows_of(document)) == [w for w, documents in shown.items() if document in documents]


def test_how_the_corpus_is_cut_into_shards_changes_no_byte(world, packed, tmp_path):
    corpus = write_corpus(tmp_path / "corpus", make_rows(), shard_documents=1000)
    pack_into(tmp_path / "out", {**world, "corpus": corpus})
    assert digests(tmp_path / "out") == digests(packed[0])


@pytest.mark.parametrize("shard_tokens", [1, 7, 16, 100])
def test_a_stream_in_many_shards_reads_like_one_in_one(world, packed, tmp_path, shard_tokens):
    pack_into(tmp_path / "out", world, shard_tokens=shard_tokens)
    for name in SPLITS:
        one, many = TokenSplit.open(packed[0], name), TokenSplit.open(tmp_path / "out", name)
        assert [len(shard) for shard in many.stream.shards[:-1]] == [shard_tokens] * (len(many.stream.shards) - 1)
        assert np.array(many.stream).tolist() == np.array(one.stream).tolist()
        positions = np.arange(one.num_windows)
        assert many.windows(positions).tolist() == one.windows(positions).tolist()
        for start in range(0, len(one.stream), 5):
            assert many.stream[start : start + 9].tolist() == one.stream[start : start + 9].tolist()
        assert len(many.stream[3:3]) == 0


def test_each_token_of_a_window_knows_its_document(packed):
    split = TokenSplit.open(packed[0], "train")
    owner = np.repeat(np.arange(split.num_documents), np.diff(split.offsets))
    owners = split.owners(np.arange(split.num_windows))
    for number, row in enumerate(owners.tolist()):
        assert row == owner[number * CONTEXT : number * CONTEXT + CONTEXT + 1].tolist()


def test_canaries_are_spread_over_the_training_and_change_nothing_else(world, packed, tmp_path):
    small_groups = write_corpus(tmp_path / "corpus", make_rows(), shard_documents=7)
    for name, inputs in (("one", world), ("many", {**world, "corpus": small_groups, "crew": Crew(2)})):
        pack_into(tmp_path / name, inputs, canaries=3, canary_copies=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "many")
    assert read_layout(tmp_path / "one").canaries == 3
    split, plain = TokenSplit.open(tmp_path / "one", "train"), TokenSplit.open(packed[0], "train")
    sources = split.documents().column("source").to_pylist()
    planted = [position for position, source in enumerate(sources) if source == SOURCE]
    codec = Codec.load(world["tokenizer"])
    texts = [codec.decode(split.document(position).tolist()[:-1]) for position in planted]
    assert texts == [canary("planted", number) for number in (0, 1, 2)] * 2
    assert min(np.diff(planted)) > 1
    others = [split.document(p).tolist() for p in range(split.num_documents) if p not in planted]
    assert others == [plain.document(p).tolist() for p in range(plain.num_documents)]


@pytest.mark.parametrize("count", [2, 4])
def test_how_many_workers_pack_changes_no_byte(world, packed, tmp_path, count):
    pack_into(tmp_path / "out", {**world, "crew": Crew(count)})
    assert digests(tmp_path / "out") == digests(packed[0])


def test_a_split_without_documents_has_no_windows(world, tmp_path):
    corpus = write_corpus(tmp_path / "corpus", [("train", "some text, and more of it")])
    pack_into(tmp_path / "out", {**world, "corpus": corpus, "checks": write_checks(tmp_path / "checks")})
    split = TokenSplit.open(tmp_path / "out", "test")
    assert (split.num_documents, split.num_windows, len(split.stream)) == (0, 0, 0)
    assert split.windows(np.array([], np.int64)).shape == (0, CONTEXT + 1)


def test_a_large_vocabulary_takes_four_bytes_a_token(world, tmp_path, monkeypatch):
    monkeypatch.setattr("components.pack.streams._VOCABULARY_OF_UINT16", 299)
    pack_into(tmp_path / "out", world)
    assert TokenSplit.open(tmp_path / "out", "train").stream.dtype == np.uint32


def test_checks_of_another_corpus_are_refused(world, tmp_path):
    checks = write_checks(tmp_path / "checks", document_id("elsewhere", "1"))
    with pytest.raises(InputError, match="1 quarantined documents, 0 of them in the corpus"):
        pack_into(tmp_path / "out", {**world, "checks": checks})


def test_missing_checks_and_an_unknown_split_are_refused(world, tmp_path):
    with pytest.raises(InputError, match=r"quarantine\.parquet"):
        pack_into(tmp_path / "a", {**world, "checks": tmp_path})
    corpus = write_corpus(tmp_path / "corpus", [("dev", "text")])
    with pytest.raises(InputError, match="a split 'dev'"):
        pack_into(tmp_path / "b", {**world, "corpus": corpus, "checks": write_checks(tmp_path / "checks")})


@pytest.mark.parametrize(
    "damage", ["short shard", "truncated stream", "other type", "other length", "no offsets", "broken layout"]
)
def test_damaged_files_are_refused(world, tmp_path, damage):
    folder = tmp_path / "out"
    pack_into(folder, world)
    path = folder / "train-00000.tokens.npy"
    stream = np.load(path)
    if damage == "short shard":
        layout = json.loads((folder / "layout.json").read_text())
        layout["shard_tokens"] = layout["splits"]["train"]["tokens"] - 1
        (folder / "layout.json").write_text(json.dumps(layout))
        np.save(folder / "train-00001.tokens.npy", stream[:1])
    elif damage == "truncated stream":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "other type":
        np.save(path, stream.astype("<u4"))
    elif damage == "other length":
        np.save(path, stream[:-1])
    elif damage == "no offsets":
        (folder / "train.offsets.npy").unlink()
    else:
        (folder / "layout.json").write_text('{"vocabulary_size": "many"}')
    with pytest.raises(InputError):
        TokenSplit.open(folder, "train")


def test_literal_end_of_text_does_not_end_a_document(tmp_path):
    rows = [("train", "before <|endoftext|> after")] * 6
    corpus, tokenizer = write_corpus(tmp_path / "corpus", rows), write_tokenizer(tmp_path / "tokenizer", rows)
    inputs = {"corpus": corpus, "tokenizer": tokenizer, "checks": write_checks(tmp_path / "checks")}
    pack_into(tmp_path / "out", inputs)
    stream = np.array(TokenSplit.open(tmp_path / "out", "train").stream)
    assert np.count_nonzero(stream == read_layout(tmp_path / "out").end_of_text) == 6


def digests(folder):
    return {name: sha256_file(folder / name) for name in list_files(folder)}
