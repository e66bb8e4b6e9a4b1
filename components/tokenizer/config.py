"""The values of the tokenizer stage."""

from __future__ import annotations

from pydantic import Field

from components.core.stage import Config


class TokenizerConfig(Config):
    """Section ``tokenizer`` of params.yaml."""

    vocabulary_size: int = Field(
        default=10_000, ge=257, le=1_000_000, description="most tokens to learn: 256 bytes, end of text, merges"
    )
    min_frequency: int = Field(default=2, ge=1, description="times that a pair must occur to be merged")
