"""The suites: what is expected of documents, corpus, tokens and examples, as Great Expectations expectations.

In: limits from params.yaml. Out: expectations in the order in which a reader wants to know of them; the number of
rows comes first, because a table without rows passes almost everything else. In between: every threshold is passed
explicitly, since defaults of expectations are not written into their results; ``meta`` carries the name, the limit in
words and the keys of params.yaml that set it. Severity ``warning`` means that failing rows are set aside.
"""

# The library re-exports its expectations without saying so to type checkers.
# mypy: disable-error-code=attr-defined

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from great_expectations.expectations import core as gx
from great_expectations.expectations.expectation import Expectation

from components.core.examples import Asked
from components.core.pages import number, percent
from components.core.tokens import SPLITS
from components.validate.annotations import OWN
from components.validate.config import CorpusConfig, DocumentsConfig, DriftConfig, ExamplesConfig, TokensConfig

Suite = list[Expectation]


def documents(config: DocumentsConfig) -> Suite:
    """What is expected of the table of ``features.measure``."""
    return [*_whole_table(config), *_identity(), *_origin(config), *_characters(config)]


def corpus(config: CorpusConfig) -> Suite:
    """What is expected of documents, and of their division into splits."""
    return [*documents(config), *_division(config)]


def drift(config: DriftConfig) -> Suite:
    """What is expected of the table of ``drift.distances``; ``info`` is a warning that leaves the gate open."""
    severity = "info" if config.on_drift == "warning" else "critical"
    told = {
        "share_change": ("Sources have the share they had", config.max_share_change),
        "length_distance": ("Documents of a source are as long as they were", config.max_length_distance),
        "language_distance": ("A source speaks the languages it spoke", config.max_language_distance),
    }
    if isinstance(config, DocumentsConfig):
        told["rule_change"] = ("Rules drop as much of a source as they did", config.max_rule_change)
    if isinstance(config, TokensConfig):
        told["vocabulary_distance"] = ("Training uses the tokens that it used", config.max_vocabulary_distance)
    return [
        _expect(gx.ExpectColumnMaxToBeBetween, f"{column}_small", title, f"at most {percent(limit)} from the reference",
                f"max_{column}", is_share=True, column=column, max_value=limit, severity=severity)
        for column, (title, limit) in told.items()
    ]  # fmt: skip


def token_splits(config: TokensConfig) -> Suite:
    """What is expected of the table of splits of ``streams.measure``."""
    return [*_layout(config), *_vocabulary(config), *_density(config)]


def token_documents() -> Suite:
    """What is expected of the table of documents of ``streams.measure``; these are promises, not limits."""
    between, in_set = gx.ExpectColumnValuesToBeBetween, gx.ExpectColumnValuesToBeInSet
    return [
        _expect(gx.ExpectTableRowCountToBeBetween, "packed_documents_present", "There are documents", "at least 1",
                min_value=1),
        _expect(gx.ExpectColumnValuesToBeUnique, "packed_once", "No document is packed twice", "none twice",
                column="doc_id", mostly=1.0),
        _expect(between, "offsets_grow", "Offsets grow from document to document", "at least 1 token each",
                column="num_stream_tokens", min_value=1, mostly=1.0),
        _expect(in_set, "lengths_true", "The index tells the length of each document", "none otherwise",
                column="has_true_length", value_set=[True], mostly=1.0),
        _expect(in_set, "documents_end", "Every document ends with end-of-text", "none without",
                column="ends_with_end_of_text", value_set=[True], mostly=1.0),
        _expect(between, "documents_end_once", "No end-of-text stands inside a document", "1 for each document",
                column="num_end_of_text", min_value=1, max_value=1, mostly=1.0),
    ]  # fmt: skip


def examples(config: ExamplesConfig, asked: Asked, own: Sequence[str]) -> Suite:
    """What is expected of the table of ``annotations.measure``, the application's own sentences with it."""
    return [*_enough_examples(config), *_annotations(config, asked), *_own(config, own), *_balance(config, asked)]


def _enough_examples(config: ExamplesConfig) -> Suite:
    few = {"train": ("min_train_examples", config.min_train_examples)}
    few |= dict.fromkeys(SPLITS[1:], ("min_held_out_examples", config.min_held_out_examples))
    present = _expect(gx.ExpectTableRowCountToBeBetween, "examples_present", "There are examples", "at least 1",
                      min_value=1)  # fmt: skip
    unique = _expect(gx.ExpectColumnValuesToBeUnique, "example_id_unique", "No identity is used twice", "none twice",
                     column="example_id", mostly=1.0)  # fmt: skip
    enough = [
        _expect(gx.ExpectColumnSumToBeBetween, f"{split}_examples", f"The split {split} has enough examples",
                f"at least {number(least)}", setting, column=f"in_{split}", min_value=least)
        for split, (setting, least) in few.items()
    ]  # fmt: skip
    return [present, *enough, unique]


def _annotations(config: ExamplesConfig, asked: Asked) -> Suite:
    told = {
        "has_answer": ("labels_present", "Every example has its answer", "none missing"),
        "is_distinct": ("examples_distinct", "No example repeats an earlier one of its split", "none twice"),
        "is_fresh": ("splits_apart", "No question is asked in a later split too", "none learned that is tested"),
    }
    if asked.decoding == "choose":
        told["is_known"] = ("labels_known", "Every label is one of the known", "none unknown")
        told["is_consistent"] = ("labels_consistent", "Equal questions have equal labels", "none contradicted")
    return [
        _expect(gx.ExpectColumnValuesToBeInSet, name, title, limit, column=column, value_set=[True],
                **_aside(config))
        for column, (name, title, limit) in told.items()
    ] + [
        _expect(gx.ExpectColumnValuesToBeInSet, "questions_new", "Every question is asked once in its split",
                "told, since one may have several answers", column="is_new", value_set=[True], mostly=1.0,
                severity="info")
    ]  # fmt: skip


def _own(config: ExamplesConfig, sentences: Sequence[str]) -> Suite:
    return [
        _expect(gx.ExpectColumnValuesToBeInSet, sentence.lower().replace(" ", "_"), sentence, "none otherwise",
                column=f"{OWN}{sentence}", value_set=[True], **_aside(config))
        for sentence in sentences
    ]  # fmt: skip


def _balance(config: ExamplesConfig, asked: Asked) -> Suite:
    if asked.decoding != "choose" or not asked.choices:
        return []
    limit = f"at most {percent(config.max_choice_share)} of what is learned"
    return [
        _expect(gx.ExpectColumnMeanToBeBetween, "labels_varied", "No label is nearly all there is", limit,
                "max_choice_share", is_share=True, column="is_commonest", max_value=config.max_choice_share)
    ]  # fmt: skip


def _whole_table(config: DocumentsConfig) -> Suite:
    few, most = config.min_documents, config.max_repeated_share
    return [
        _expect(gx.ExpectTableRowCountToBeBetween, "documents_present", "There are enough documents",
                f"at least {number(few)} documents", "min_documents", min_value=few),
        _expect(gx.ExpectColumnMeanToBeBetween, "documents_distinct", "Few documents repeat an earlier text",
                f"at most {percent(most)} of the documents", "max_repeated_share", is_share=True,
                column="is_repeated", max_value=most),
    ]  # fmt: skip


def _identity() -> Suite:
    return [
        _expect(gx.ExpectColumnValuesToNotBeNull, "doc_id_present", "Every document has an identity", "none without",
                column="doc_id", mostly=1.0),
        _expect(gx.ExpectColumnValuesToBeUnique, "doc_id_unique", "No identity is used twice", "none twice",
                column="doc_id", mostly=1.0),
    ]  # fmt: skip


def _origin(config: DocumentsConfig) -> Suite:
    return [
        _expect(gx.ExpectColumnValuesToNotBeNull, f"{column}_stated", f"The {column} is stated",
                "neither empty nor “unknown”", column=column, **_aside(config))
        for column in ("source", "licence")
    ]  # fmt: skip


def _characters(config: DocumentsConfig) -> Suite:
    between, aside = gx.ExpectColumnValuesToBeBetween, _aside(config)
    low, high = config.min_characters, config.max_characters
    return [
        _expect(between, "characters_in_bounds", "The text is neither empty nor endless",
                f"{number(low)} to {number(high)} characters", "min_characters", "max_characters",
                column="num_characters", min_value=low, max_value=high, **aside),
        _expect(between, "replacement_rare", "The bytes were understood",
                f"at most {percent(config.max_replacement_share)} U+FFFD", "max_replacement_share",
                column="replacement_share", max_value=config.max_replacement_share, **aside),
        _expect(between, "control_rare", "The text holds few control characters",
                f"at most {percent(config.max_control_share)} of its characters", "max_control_share",
                column="control_share", max_value=config.max_control_share, **aside),
        _expect(between, "letters_common", "The text is made of letters",
                f"at least {percent(config.min_alphabetic_share)} of its characters", "min_alphabetic_share",
                column="alphabetic_share", min_value=config.min_alphabetic_share, **aside),
    ]  # fmt: skip


def _division(config: CorpusConfig) -> Suite:
    low, high = config.min_held_out_share, config.max_held_out_share
    known = _expect(gx.ExpectColumnValuesToBeInSet, "split_known", "Every document is in a split",
                    f"one of {', '.join(SPLITS)}", column="split", value_set=list(SPLITS), mostly=1.0)  # fmt: skip
    limit, settings = (
        f"{percent(low)} to {percent(high)} of the documents",
        ("min_held_out_share", "max_held_out_share"),
    )
    shares = (
        _expect(gx.ExpectColumnMeanToBeBetween, f"{split}_share", f"The split {split} has its part", limit, *settings,
                is_share=True, column=f"in_{split}", min_value=low, max_value=high)
        for split in SPLITS[1:]
    )  # fmt: skip
    return [known, *shares]


def _layout(config: TokensConfig) -> Suite:
    return [
        _expect(gx.ExpectTableRowCountToBeBetween, "splits_present", "All splits are there", ", ".join(SPLITS),
                min_value=len(SPLITS), max_value=len(SPLITS)),
        _expect(gx.ExpectColumnValuesToBeInSet, "documents_cover_stream", "Documents cover each stream",
                "offsets from 0 to the end, a row for each document",
                column="is_covered", value_set=[True], mostly=1.0),
        _expect(gx.ExpectColumnValuesToBeBetween, "windows_present", "Every split fills windows",
                f"at least {number(config.min_windows)} windows", "min_windows",
                column="num_windows", min_value=config.min_windows, mostly=1.0),
    ]  # fmt: skip


def _vocabulary(config: TokensConfig) -> Suite:
    return [
        _expect(gx.ExpectColumnMaxToBeBetween, "tokens_in_range", "Every token is in the vocabulary",
                "0 tokens outside", column="num_out_of_range", max_value=0),
        _expect(gx.ExpectColumnMinToBeBetween, "vocabulary_used", "Training sees the vocabulary",
                f"at least {percent(config.min_vocabulary_use)} of it", "min_vocabulary_use", is_share=True,
                column="vocabulary_use", min_value=config.min_vocabulary_use),
        _expect(gx.ExpectColumnMinToBeBetween, "tokens_varied", "Training tokens vary",
                f"at least {number(config.min_entropy_bits)} bits per token", "min_entropy_bits",
                column="entropy_bits", min_value=config.min_entropy_bits),
    ]  # fmt: skip


def _density(config: TokensConfig) -> Suite:
    low, high = config.min_bytes_per_token, config.max_bytes_per_token
    return [
        _expect(gx.ExpectColumnMinToBeBetween, "tokens_long", "Tokens are worth their place in every split",
                f"at least {number(low)} bytes per token", "min_bytes_per_token",
                column="bytes_per_token", min_value=low),
        _expect(gx.ExpectColumnMaxToBeBetween, "tokens_short", "Tokens are not longer than words in any split",
                f"at most {number(high)} bytes per token", "max_bytes_per_token",
                column="bytes_per_token", max_value=high),
        _expect(gx.ExpectColumnMaxToBeBetween, "end_of_text_rare", "Documents are not crumbs",
                f"at most {percent(config.max_end_of_text_share)} end-of-text", "max_end_of_text_share", is_share=True,
                column="end_of_text_share", max_value=config.max_end_of_text_share),
        _expect(gx.ExpectColumnMaxToBeBetween, "windows_distinct", "Few windows repeat an earlier one",
                f"at most {percent(config.max_repeated_window_share)} of a split", "max_repeated_window_share",
                is_share=True, column="repeated_window_share", max_value=config.max_repeated_window_share),
    ]  # fmt: skip


def _expect(
    kind: type[Expectation], name: str, title: str, limit: str, *settings: str, is_share: bool = False, **arguments: Any
) -> Expectation:
    """An expectation that knows how to be told: ``is_share`` for a value that is a part of one."""
    if arguments.get("severity") == "warning":
        limit += f", in all but {percent(1.0 - arguments['mostly'])} of the rows"
    meta = {"name": name, "limit": limit, "settings": list(settings), "is_share": is_share}
    return kind(description=title, meta=meta, **arguments)


def _aside(config: DocumentsConfig | ExamplesConfig) -> dict[str, Any]:
    """Failing rows are set aside; the expectation itself fails when they are more than the configured share."""
    return {"severity": "warning", "mostly": round(1.0 - config.max_quarantined_share, 12)}
