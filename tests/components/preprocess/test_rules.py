"""The rules for quality beside plain references, and what they write beside what they drop."""

import random
import time
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from components.core.documents import DOCUMENTS, Document, document_id
from components.core.params import parse
from components.preprocess import PreprocessConfig
from components.preprocess.characters import tables
from components.preprocess.cleaning import Cleaned, clean
from components.preprocess.language import identify_text
from components.preprocess.quality import measure
from components.preprocess.words import decode, split_words
from tests.benchmarks.accuracy import score_languages
from tests.components.preprocess.world import CONFIG, RULES
from tests.worlds import SHARED_DATA

NOBODY = pl.DataFrame(schema={"doc_id": pl.String, "reason": pl.String, "detail": pl.String})
WORDS = ["the", "mean", "of", "a", "sample", "is", "and", "to", "be", "that", "river", "runs", "slowly"]
PROSE = "The mean of a sample is the sum of its values. It has to be found with care, and that takes time."
# As spaCy 3.8's blank English cuts them.
CUT = {
    "Don't stop (it's fine)...": "Do|n't|stop|(|it|'s|fine|)|...",
    "e.g. Mr. Smith's U.S. firm, Inc.": "e.g.|Mr.|Smith|'s|U.S.|firm|,|Inc.",
    "well-known and/or 3-4 x=y": "well|-|known|and/or|3|-|4|x|=|y",
    "see https://example.org/a-b?c=d, or a@b.org.": "see|https://example.org/a-b?c=d|,|or|a@b.org|.",
    "$5 costs 50% at 3pm for 10km": "$|5|costs|50|%|at|3|pm|for|10|km",
    "snake_case [x] “quoted” gonna": "snake_case|[|x|]|“|quoted|”|gon|na",
    "one--two three…four end.Start": "one|--|two|three|…|four|end|.|Start",
}


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def words_of(text: str) -> list[str]:
    data = np.frombuffer(text.encode(), np.uint8)
    codes, kinds = np.empty(len(data), np.uint32), np.empty(len(data), np.uint16)
    words, hashes = np.empty((len(data), 3), np.int32), np.empty(len(data), np.uint64)
    n = decode(data, 0, len(data), tables().kinds, codes, kinds)
    w = split_words(codes, kinds, 0, n, tables(), words, hashes)
    return [text[begin:end] for begin, end, _ in words[:w]]


def config(**values: Any) -> PreprocessConfig:
    return parse({**CONFIG, "max_characters": 100_000, **values}, PreprocessConfig, "test")


def switched_on(name: str, **values: Any) -> PreprocessConfig:
    return config(**{name: {**RULES[name], "enabled": True, **values}})


def cleaned(settings: PreprocessConfig, *texts: str) -> Cleaned:
    rows = [Document(document_id("s", str(n)), text, "s", str(n), "CC0", None, "{}") for n, text in enumerate(texts)]
    columns = [list(values) for values in zip(*rows, strict=True)]
    return clean(pa.table(columns, schema=DOCUMENTS), NOBODY, settings)


def told(settings: PreprocessConfig, *texts: str) -> list[tuple[str, str]]:
    return [(row["reason"], row["detail"]) for row in cleaned(settings, *texts).rejects.to_pylist()]


@pytest.mark.parametrize("text", CUT)
def test_words_are_cut_as_spacy_cuts_them(text: str) -> None:
    assert words_of(text) == CUT[text].split("|")


def repetitions(text: str) -> dict[str, float]:
    """Gopher's n-gram measures (Rae et al. 2021, table A1), slowly: words stand between single spaces."""
    words, found = text.split(), {}
    for size in (2, 3, 4):
        grams = [" ".join(words[i : i + size]) for i in range(len(words) - size + 1)]
        (top, count), *_ = Counter(grams).most_common(1) or [("", 0)]
        found[f"top_{size}_gram_ratio"] = len(top) * count / len(text)
    for size in range(5, 11):
        seen, repeated, i = set(), 0, 0
        while i < len(words) - size + 1:
            gram = "".join(words[i : i + size])
            repeated, i = (repeated + len(gram), i + size) if gram in seen else (repeated, i + 1)
            seen.add(gram)
        found[f"duplicate_{size}_gram_ratio"] = repeated / len(text)
    return found


def test_repetition_agrees_with_the_plain_reference() -> None:
    generator = random.Random(3)
    texts = [" ".join(generator.choices(WORDS[: 2 + n % 11], k=1 + n % 90)) for n in range(400)]
    measured = measure(column(*texts), switched_on("gopher_repetition")).measures
    for row, text in enumerate(texts):
        expected = repetitions(text)
        assert {name: measured[name][row] for name in expected} == pytest.approx(expected), text


def test_lines_and_words_are_measured_in_characters() -> None:
    text = "Überschrift ohne Ende\n\n• eins …\n• eins …\nEin Satz, der endet. #tag"
    families: dict[str, dict[str, Any]] = {"gopher_repetition": {}, "fineweb": {"short_line_characters": 10},
                "gopher_quality": {"stop_words": ["Ein", "der", "nie"]}}  # fmt: skip
    settings = config(**{name: {**RULES[name], "enabled": True, **values} for name, values in families.items()})
    found = {name: values[0] for name, values in measure(column(text), settings).measures.items()}
    assert found["bullet_line_ratio"] == found["ellipsis_line_ratio"] == 2 / 5
    assert found["duplicate_line_ratio"] == 1 / 4
    assert found["duplicate_line_character_ratio"] == len("• eins …") / len(text)
    assert found["short_line_ratio"] == 2 / 4
    assert found["repeated_character_ratio"] == len("• eins …") / (len(text) - 4)
    assert found["num_stop_words"] == 2


BROKEN = {
    ("gopher_repetition", "gopher_duplicate_paragraphs"): "one\n\none\n\none\n\ntwo and more",
    ("gopher_repetition", "gopher_top_2_gram"): "spam ham spam ham spam ham spam ham",
    ("gopher_repetition", "gopher_duplicate_5_grams"): f"{PROSE} x {PROSE} y {PROSE}",
    ("gopher_quality", "gopher_few_words"): "Only a few words stand here.",
    ("gopher_quality", "gopher_hashes"): PROSE * 3 + " #" * 20,
    ("gopher_quality", "gopher_bullets"): "\n".join(["- the point of that list, to be or not"] * 9),
    ("gopher_quality", "gopher_few_letters"): PROSE * 3 + " 12345" * 60,
    ("gopher_quality", "gopher_few_stop_words"): "Water flows downhill every single day here. " * 9,
    ("fineweb", "fineweb_unfinished_lines"): "no line of this text ends in a terminal mark at all\n" * 3,
    ("fineweb", "fineweb_short_lines"): "Short.\nLines.\nOnly.",
    ("fineweb", "fineweb_repeated_lines"): "This very line is repeated, word by word.\n" * 3,
    ("c4", "c4_lorem_ipsum"): "Here stands Lorem Ipsum as a text.\n" * 6,
    ("c4", "c4_curly_bracket"): "A function { with a body } is code.\n" * 6,
    ("c4", "c4_few_sentences"): "This is one sentence only.",
}


@pytest.mark.parametrize(("family", "reason"), BROKEN)
def test_each_rule_drops_its_text_and_tells_value_and_limit(family: str, reason: str) -> None:
    ((found, detail),) = told(switched_on(family), BROKEN[family, reason])
    assert found == reason
    assert any(word in detail for word in ("at least", "at most"))
    assert told(config(), BROKEN[family, reason]) == []


def test_a_single_threshold_of_null_is_switched_off() -> None:
    assert told(switched_on("gopher_quality", min_words=None), "to be with only the few words") == []
    assert told(switched_on("gopher_quality"), "to be with only the few words") == [
        ("gopher_few_words", "num_words 7, at least 50")
    ]


def test_c4_leaves_out_lines_and_citations_and_keeps_the_rest() -> None:
    kept = ["Grüße an alle, die lesen.", "Two more words here, then three.", "It ends well. It does. It did."]
    lines = [kept[0].replace(",", "[12],"), "menu", "Enable JavaScript to go on.", " " + kept[1],
             "We use cookies here.", "x" * 1001 + " is too long", kept[2]]  # fmt: skip
    assert cleaned(switched_on("c4"), "\n".join(lines)).kept["text"].to_pylist() == ["\n".join(kept)]


def test_a_document_is_judged_the_same_alone_and_among_others() -> None:
    everything = config(**{name: {**rules, "enabled": True} for name, rules in RULES.items()})
    texts = [*BROKEN.values(), PROSE * 4, "", " \n ", "né\u0301e " * 60, "\u2028" * 30]
    together = {row["uri"]: row for row in cleaned(everything, *texts).rejects.to_pylist()}
    for place, text in enumerate(texts):
        alone = told(everything, text)
        row = together.get(str(place))
        assert alone == ([(row["reason"], row["detail"])] if row else [])


def test_personal_data_stands_neither_in_the_corpus_nor_among_the_rejects() -> None:
    found = cleaned(
        config(min_characters=30), "write to jane@example.org", "write to jane@example.org, please do it now"
    )
    assert found.counts["personal_email"] == 2
    assert found.rejects["text"].to_pylist() == ["write to <EMAIL>"]
    assert found.kept["text"].to_pylist() == ["write to <EMAIL>, please do it now"]


def test_languages_are_found_named_and_filtered() -> None:
    language = {"enabled": True, "allowed": ["en", "de"], "prefix_bytes": 1024}
    texts = [
        PROSE,
        "Der Mittelwert einer Stichprobe ist die Summe ihrer Werte.",
        "一个样本的平均值是它的值之和。",
        "1234567890",
    ]
    found = cleaned(config(language=language), *texts)
    assert found.kept["language"].to_pylist() == ["en", "de"]
    assert [row["detail"] for row in found.rejects.to_pylist()] == [
        "language zh, one of en, de", "language und, one of en, de"
    ]  # fmt: skip
    assert identify_text("") == "und"


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data sets are not here")
def test_languages_of_labelled_sentences() -> None:
    right, number = score_languages(step=10)
    assert right / number > 0.95


@pytest.mark.parametrize(
    "unit", ["a", ".", "a.", "'", "-", "a-", "http://", "@", "<", "\n", "a\n", "… ", "[1", "{", "9km"]
)
def test_the_worst_texts_take_linear_time(unit: str) -> None:
    everything = config(
        max_characters=10_000_000, **{name: {**rules, "enabled": True} for name, rules in RULES.items()}
    )

    def seconds(num_bytes: int) -> float:
        text = (unit * num_bytes)[:num_bytes]
        started = time.process_time()
        cleaned(everything, text)
        return time.process_time() - started

    seconds(1000)
    assert seconds(400_000) < 2.0
