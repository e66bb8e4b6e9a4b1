"""The section ``preprocess`` of params.yaml: which texts are kept and how they are divided.

In: plain values. Out: a frozen config. In between: bounds are in order and something is left for training.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from components.core.personal_kinds import Kind
from components.core.pinned import PinnedFile
from components.core.stage import Config
from components.preprocess.rules.c4 import C4
from components.preprocess.rules.fineweb import FineWeb
from components.preprocess.rules.gopher_quality import GopherQuality
from components.preprocess.rules.gopher_repetition import GopherRepetition
from components.preprocess.rules.language import Language


class PreprocessConfig(Config):
    """What happens to documents that passed the checks."""

    seed: int = Field(1, description="another seed gives another division into splits", ge=0, lt=1 << 63)
    min_characters: int = Field(100, description="of the normalised text", ge=1)
    max_characters: int = Field(100_000, description="of the normalised text", ge=1)
    repair_mojibake: bool = Field(description="put right what was decoded with the wrong encoding")
    personal_data: tuple[Kind, ...] = Field(description="kinds that are replaced by a placeholder")
    language: Language
    gopher_repetition: GopherRepetition
    gopher_quality: GopherQuality
    c4: C4
    fineweb: FineWeb
    validation_share: float = Field(0.05, description="share of distinct texts", ge=0, lt=1)
    test_share: float = Field(0.05, description="share of distinct texts", ge=0, lt=1)
    shard_documents: int = Field(10_000, description="documents per Parquet shard", ge=1, le=10_000_000)

    near_duplicate_bands: int = Field(
        14, description="of a MinHash signature, as FineWeb; 0 looks for equal texts only", ge=0, le=256
    )
    near_duplicate_rows: int = Field(8, description="hashes of a band, as FineWeb", ge=1, le=64)
    near_duplicate_similarity: float = Field(
        0.7, description="share of equal hashes from which two texts are copies; their Jaccard index", gt=0, le=1
    )
    shingle_words: int = Field(5, description="words of a shingle, as FineWeb", ge=1, le=64)
    evaluation_sets: tuple[PinnedFile, ...] = Field((), description="texts that no document may repeat")
    gram_words: int = Field(13, description="words of a run that must not be repeated, as GPT-3", ge=3, le=64)
    max_held_out_share: float = Field(
        0.8, description="runs of a training text that stand in held-out ones; 1 does not look", ge=0, le=1
    )
    max_source_bytes: dict[str, Annotated[int, Field(ge=0)]] = Field({}, description="most bytes of a source")
    mixture: dict[str, Annotated[float, Field(ge=0)]] = Field({}, description="shares of the sources' bytes, by weight")

    @model_validator(mode="after")
    def _mixture_keeps_something(self) -> PreprocessConfig:
        if self.mixture and not any(self.mixture.values()):
            raise ValueError("mixture must give some source a weight above 0")
        return self

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> PreprocessConfig:
        if self.min_characters > self.max_characters:
            raise ValueError(f"min_characters {self.min_characters} is above max_characters {self.max_characters}")
        return self

    @model_validator(mode="after")
    def _something_is_left_for_training(self) -> PreprocessConfig:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share + test_share must stay below 1: nothing would be left for training")
        return self
