"""What a model is: the sizes from which its weights' shapes follow."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.stage import Config


class ModelConfig(Config):
    """Sizes of a decoder-only Transformer; stands in ``model.json`` beside the weights."""

    vocabulary_size: int = Field(default=10_000, ge=2, le=1_000_000, description="tokens it can tell apart")
    context_tokens: int = Field(default=512, ge=2, le=1 << 20, description="tokens that it sees at once")
    width: int = Field(default=128, ge=2, le=65_536, description="numbers that stand for a token inside the model")
    num_layers: int = Field(default=4, ge=1, le=1_000, description="blocks of attention and feed-forward")
    num_heads: int = Field(default=4, ge=1, le=1_024, description="attention heads of a block")
    feed_forward_width: int = Field(default=512, ge=1, le=1_048_576, description="inner width of the feed-forward")
    dropout: Literal[0] = Field(default=0, description="share of activations dropped in training; only 0 for now")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")
        return self

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.num_heads
