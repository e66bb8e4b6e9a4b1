"""Text to tokens and back."""

import json
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers

from components.core.errors import InputError
from components.tokenizer.codec import END_OF_TEXT, FILE, Codec
from components.tokenizer.learning import learn
from tests.components.tokenizer.world import SENTENCES

# Text that names the control token often enough for merges to be learned from it.
TEXTS = [*SENTENCES * 5, *[f"a document about {END_OF_TEXT} and nothing else"] * 20]
AWKWARD = [
    "", " ", "\n\n", "\x00\x01\x7f", "é and e\u0301", "\ufeffmark", "\ufffd", "🏳️‍🌈 𝔘𝔫𝔦", "\r\n\t ", "a" * 5000,
    "".join(map(chr, range(0x250))), "\U0010ffff", END_OF_TEXT, f"x{END_OF_TEXT * 3}y",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    (path / FILE).write_text(learn([TEXTS], 400, 2).to_str(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def codec(folder):
    return Codec.load(folder)


@pytest.mark.parametrize("text", AWKWARD)
def test_every_text_comes_back_byte_for_byte(codec, text):
    tokens = codec.encode(text)
    assert codec.decode_bytes(tokens.tolist()) == text.encode()
    assert codec.decode(tokens.tolist()) == text


def test_every_byte_has_a_token_of_its_own(codec):
    single = {codec.decode_bytes([token]) for token in range(codec.vocabulary_size)}
    assert {bytes([byte]) for byte in range(256)} <= single


def test_half_a_character_decodes_to_its_bytes_and_shows_as_a_replacement(codec):
    first, *_ = codec.encode("\U0001f600").tolist()
    assert codec.decode_bytes([first]) != b""
    assert "\ufffd" in codec.decode([first])


@pytest.mark.parametrize("text", [END_OF_TEXT, f"a{END_OF_TEXT}b", TEXTS[-1], END_OF_TEXT * 50])
def test_a_literal_end_of_text_is_text_whoever_loads_the_file(codec, folder, text):
    plain = Tokenizer.from_file(str(folder / FILE)).encode(text).ids
    assert codec.end_of_text not in plain
    assert codec.encode(text).tolist() == plain
    assert codec.decode(plain) == text


def test_end_of_text_decodes_to_nothing(codec):
    assert codec.decode([codec.end_of_text, *codec.encode("cat").tolist(), codec.end_of_text]) == "cat"


def test_many_texts_encode_as_each_by_itself(codec):
    together = codec.encode_all(AWKWARD)
    assert [t.tolist() for t in together] == [codec.encode(text).tolist() for text in AWKWARD]
    assert all(t.dtype == np.uint32 for t in together)


def test_tokens_are_those_of_the_plain_algorithm(codec, folder):
    model = json.loads((folder / FILE).read_text())["model"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    for text in [*TEXTS[:4], *AWKWARD]:
        words = [word for word, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)]
        expected = [model["vocab"][part] for word in words for part in merge_plainly(list(word), ranks)]
        assert codec.encode(text).tolist() == expected


def merge_plainly(parts, ranks):
    """Join the pair that was learned first, wherever it stands, until no learned pair is left."""
    while pairs := [pair for pair in pairwise(parts) if pair in ranks]:
        first, joined, position = min(pairs, key=ranks.__getitem__), [], 0
        while position < len(parts):
            is_pair = tuple(parts[position : position + 2]) == first
            joined.append("".join(parts[position : position + 1 + is_pair]))
            position += 1 + is_pair
        parts = joined
    return parts


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t["added_tokens"].append(added_token()), "added tokens"),
        (lambda t: t.update(normalizer={"type": "Lowercase"}), "normalizer"),
        (lambda t: t["model"]["vocab"].pop(END_OF_TEXT), "a vocabulary without"),
        (lambda t: t["model"]["vocab"].update({"zz": 9999}), "gaps"),
        (lambda t: t["model"]["vocab"].update({"\u4e2d": len(t["model"]["vocab"])}), "not byte-level"),
    ],
)
def test_a_tokenizer_that_breaks_the_promises_is_refused(folder, tmp_path, change, told):
    value = json.loads((folder / FILE).read_text())
    change(value)
    (tmp_path / FILE).write_text(json.dumps(value))
    with pytest.raises(InputError) as caught:
        Codec.load(tmp_path)
    assert told in caught.value.found


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe", b'{"version": "1.0", "model"'])
def test_a_missing_or_broken_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError):
        Codec.load(tmp_path)


def added_token():
    return {"id": 0, "content": END_OF_TEXT, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}  # fmt: skip
