"""The sections ``validate.documents``, ``validate.corpus`` and ``validate.tokens`` of params.yaml: the limits.

In: plain values. Out: frozen configs. In between: every limit says what it counts; lower and upper limits are in
order. A share is a part of one: 0.05 is five of a hundred.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.pinned import PinnedFile
from components.core.stage import Config


class DriftConfig(Config):
    """How far a version of the sources may be from one that was accepted."""

    reference: PinnedFile | None = Field(
        None, description="an accepted profile.json of this check, to tell drift from; none does not compare"
    )
    on_drift: Literal["warning", "failure"] = Field("warning", description="what a change beyond these limits is")
    max_share_change: float = Field(0.1, description="of a source's share of the documents", ge=0, le=1)
    max_length_distance: float = Field(0.1, description="total variation of the lengths of a source", ge=0, le=1)
    max_language_distance: float = Field(0.1, description="total variation of the languages of a source", ge=0, le=1)


class DocumentsConfig(DriftConfig):
    """What the documents of ``ingest`` must be like."""

    min_documents: int = Field(100, description="documents there must be; an empty corpus always fails", ge=1)
    min_characters: int = Field(10, description="of one text, else it is set aside", ge=1)
    max_characters: int = Field(1_000_000, description="of one text, else it is set aside", ge=1)
    max_replacement_share: float = Field(
        0.01, description="U+FFFD among the characters of one text, else it is set aside", ge=0, le=1
    )
    max_control_share: float = Field(
        0.01, description="control characters but tab and line ends in one text, else it is set aside", ge=0, le=1
    )
    min_alphabetic_share: float = Field(
        0.3, description="letters of any script among the characters of one text, else it is set aside", ge=0, le=1
    )
    max_repeated_share: float = Field(0.5, description="documents whose text stood in an earlier one", ge=0, le=1)
    max_quarantined_share: float = Field(
        0.05, description="documents that may be set aside, for one reason and for all together", ge=0, lt=1
    )

    max_rule_change: float = Field(0.05, description="of the share of a source that a rule dropped", ge=0, le=1)

    @model_validator(mode="after")
    def _characters_are_in_order(self) -> Self:
        if self.min_characters > self.max_characters:
            raise ValueError(f"min_characters {self.min_characters} is above max_characters {self.max_characters}")
        return self


class CorpusConfig(DocumentsConfig):
    """What the corpus of ``preprocess`` must be like: all that documents must be, no copies, and three splits."""

    max_repeated_share: float = Field(0.0, description="documents whose text stood in an earlier one", ge=0, le=1)
    max_quarantined_share: float = Field(
        0.01, description="documents that may be set aside, for one reason and for all together", ge=0, lt=1
    )
    min_held_out_share: float = Field(0.001, description="documents in validation, and in test", ge=0, le=1)
    max_held_out_share: float = Field(0.3, description="documents in validation, and in test", ge=0, le=1)

    @model_validator(mode="after")
    def _shares_are_in_order(self) -> Self:
        if self.min_held_out_share > self.max_held_out_share:
            found = f"min_held_out_share {self.min_held_out_share}"
            raise ValueError(f"{found} is above max_held_out_share {self.max_held_out_share}")
        return self


class TokensConfig(DriftConfig):
    """What the tokens of ``pack`` must be like; nothing can be set aside here, so every failure stops the chain."""

    min_windows: int = Field(1, description="training windows in each split", ge=1)
    min_bytes_per_token: float = Field(1.5, description="bytes of text for one token, over a split", ge=1)
    max_bytes_per_token: float = Field(16.0, description="bytes of text for one token, over a split", ge=1)
    max_end_of_text_share: float = Field(
        0.05, description="end-of-text among the tokens of a split: 0.05 is 20 tokens for a document", ge=0, le=1
    )
    min_vocabulary_use: float = Field(0.5, description="share of the vocabulary that stands in train", ge=0, le=1)
    min_entropy_bits: float = Field(5.0, description="of one token of train, by its frequency", ge=0)
    max_repeated_window_share: float = Field(
        0.05, description="windows of a split whose tokens stood in an earlier window of it", ge=0, le=1
    )
    max_vocabulary_distance: float = Field(0.1, description="total variation of train's token numbers", ge=0, le=1)

    @model_validator(mode="after")
    def _bytes_are_in_order(self) -> Self:
        if self.min_bytes_per_token > self.max_bytes_per_token:
            found = f"min_bytes_per_token {self.min_bytes_per_token}"
            raise ValueError(f"{found} is above max_bytes_per_token {self.max_bytes_per_token}")
        return self


class ExamplesConfig(Config):
    """What the examples of an application must be like."""

    min_train_examples: int = Field(20, description="examples to learn from there must be", ge=0)
    min_held_out_examples: int = Field(5, description="examples there must be in validation, and in test", ge=0)
    max_choice_share: float = Field(
        1.0, description="of the commonest label among the examples to learn from, where there are labels", gt=0, le=1
    )
    max_quarantined_share: float = Field(
        0.05, description="examples that may be set aside, for one reason and for all together", ge=0, lt=1
    )
