"""The compiled encoder beside the library: equal token for token, on purpose-made, random and real texts."""

import random

import numpy as np
import pyarrow as pa
import pytest

from components.tokenizer import encoder as module
from components.tokenizer.codec import Codec
from components.tokenizer.encoder import Encoder, character_classes
from components.tokenizer.learning import learn
from tests.components.tokenizer.characters import ask
from tests.worlds import SHARED_DATA

HARD = [
    "", " ", "\n", "  ", " \n", "a", " a", "  a", "\n a", "\u3000a", "\u3000\u3000 a", "it's we're I'll 's''s '' ' s'",
    "don't!'s ?'ve", "1² ⅷ½ ٣4", "naïve e\u0301", "<|endoftext|>", "\0\x7f\x85\xa0", "x" * 70, "ab" * 200,
    "a" * 5000, "the " * 300, "猫は魚を食べる", "👩‍👩‍👧 🇩🇪", "\U0010ffff\ue000", "end  ", "tabs\t\tand\r\nlines\r\r",
]  # fmt: skip
LETTERS = "abet's \n\t'llre12é猫\u3000\u00a0½!?<|>👩\u0301"


@pytest.fixture(scope="module")
def codec() -> Codec:
    generator = random.Random(1)
    return Codec(learn([[*HARD, *(random_text(generator) for _ in range(300))]], 600, 2))


def random_text(generator: random.Random) -> str:
    return "".join(generator.choices(LETTERS, k=generator.randrange(200)))


def assert_equal(codec: Codec, texts: list[str], dtype: str = "<u2") -> None:
    tokens, ends = Encoder(codec, dtype).encode(pa.array(texts, pa.large_string()))
    parts = np.split(tokens, ends)[:-1]
    for text, part, expected in zip(texts, parts, codec.encode_all(texts), strict=True):
        assert part.tolist() == [*expected.tolist(), codec.end_of_text], text[:200]


def test_hard_texts_are_encoded_as_the_library_does(codec: Codec) -> None:
    assert_equal(codec, HARD)
    assert_equal(codec, [before + after for before in HARD[:20] for after in HARD[:20]], "<u4")


def test_random_texts_are_encoded_as_the_library_does(codec: Codec) -> None:
    generator = random.Random(2)
    assert_equal(codec, [random_text(generator) for _ in range(2000)])


def test_a_full_memory_of_words_changes_no_token(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_WORDS", 5), ("_TEXT_BYTES", 40), ("_TOKENS", 20)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, size)
            assert_equal(codec, HARD)


def test_a_slice_of_a_column_is_encoded_alone(codec: Codec) -> None:
    column = pa.array(HARD, pa.large_string())
    encoder = Encoder(codec, "<u2")
    whole, ends = encoder.encode(column)
    part, part_ends = encoder.encode(column.slice(5, 7))
    assert part.tolist() == whole[ends[4] : ends[11]].tolist()
    assert part_ends.tolist() == (ends[5:12] - ends[4]).tolist()
    assert [len(found) for found in encoder.encode(pa.array([], pa.large_string()))] == [0, 0]


def test_the_table_of_characters_is_what_the_library_says() -> None:
    assert np.array_equal(character_classes(), ask())


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data is not here")
def test_real_texts_of_many_languages_are_encoded_as_the_library_does() -> None:
    names = ["langid_tune/sentences.tsv", "wikitext2_valid/valid.txt", "toxic_tune/tweets.csv", "thucnews_tune/dev.txt"]
    lines = [line for name in names for line in (SHARED_DATA / name).read_text(errors="replace").splitlines()[:4000]]
    assert_equal(Codec(learn([lines], 4000, 2)), ["\n".join(lines), *lines])
