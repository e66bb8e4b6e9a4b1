"""Tokens to text: joined pieces are the text, wherever it is cut."""

import numpy as np
import pytest

from components.serve.text import TextReader
from components.tokenizer.codec import Codec

TEXT = "naïve 模型 🙂👩‍👩‍👧 e\u0301 \U0010ffff end"


@pytest.fixture(scope="module")
def codec(made):
    return Codec.load(made / "1" / "tokenizer")


def byte_tokens(codec, text):
    """A token per byte: every character of more than one byte is cut at every place."""
    number = {codec.decode_bytes([token]): token for token in range(codec.vocabulary_size)}
    return [number[bytes([byte])] for byte in text.encode()]


def test_no_piece_holds_half_a_character(codec):
    reader = TextReader(codec)
    pieces = [reader.add(token) for token in byte_tokens(codec, TEXT)]
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) + reader.end() == TEXT


def test_bytes_that_are_no_text_show_as_when_the_whole_is_decoded(codec):
    random = np.random.default_rng(0)
    for _ in range(50):
        tokens = random.integers(0, codec.vocabulary_size, 30).tolist()
        reader = TextReader(codec)
        assert "".join(map(reader.add, tokens)) + reader.end() == codec.decode(tokens)


def cut(text, stops):
    """The text before the stop string that is complete first."""
    for end in range(len(text)):
        for stop in sorted(stops, key=len, reverse=True):
            if text[: end + 1].endswith(stop):
                return text[: end + 1 - len(stop)]
    return text


@pytest.mark.parametrize(
    "stops", [["型"], ["🙂"], ["模型 🙂"], ["xyz"], ["aab", "ab"], ["d"], ["naïve"], ["ef", "end", "n"], ["\u0301 "]]
)
@pytest.mark.parametrize("text", [TEXT, "aaab", "aaaaab aab", "ende"])
def test_a_stop_string_ends_the_text_and_no_part_of_it_is_shown(codec, text, stops):
    reader, pieces = TextReader(codec, stops), []
    for token in byte_tokens(codec, text):
        pieces.append(reader.add(token))
        assert cut(text, stops).startswith("".join(pieces))
        if reader.is_stopped:
            break
    assert "".join(pieces) + reader.end() == cut(text, stops)
    assert reader.is_stopped == any(stop in text for stop in stops)
