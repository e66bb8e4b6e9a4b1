"""What a model is: the sizes and choices from which its weights' shapes follow."""

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
    num_key_value_heads: int = Field(
        default=0, ge=0, le=1_024, description="heads of keys and values, shared by equal groups of heads; 0: one each"
    )
    feed_forward_width: int = Field(default=512, ge=1, le=1_048_576, description="inner width of the feed-forward")
    norm: Literal["layer_norm", "rms_norm"] = Field(default="layer_norm", description="before each part of a block")
    activation: Literal["gelu", "swiglu"] = Field(default="gelu", description="inside the feed-forward")
    positions: Literal["learned", "rotary"] = Field(default="learned", description="how it knows where a token stands")
    output: Literal["tied", "free"] = Field(default="tied", description="whether the output shares the embedding")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of activations dropped in training")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")
        if self.num_heads % self.key_value_heads:
            told = f"num_key_value_heads {self.num_key_value_heads}"
            raise ValueError(f"num_heads {self.num_heads} must be a multiple of {told}")
        if self.positions == "rotary" and self.head_width % 2:
            raise ValueError(f"rotary positions turn pairs: width / num_heads is {self.head_width}, which is odd")
        return self

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.num_heads

    @property
    def key_value_heads(self) -> int:
        """Heads that have keys and values of their own."""
        return self.num_key_value_heads or self.num_heads


def debug() -> ModelConfig:
    """Small enough for a test."""
    return ModelConfig(
        vocabulary_size=512, context_tokens=64, width=32, num_layers=2, num_heads=2, feed_forward_width=64
    )


def seed() -> ModelConfig:
    """The sizes of the article that this project grew from."""
    return ModelConfig()


def character() -> ModelConfig:
    """NanoGPT's model of characters for a laptop's processor: 4 layers, 128 wide, 64 characters of context."""
    return ModelConfig(vocabulary_size=65, context_tokens=64)


def llama_like() -> ModelConfig:
    """The seed's sizes with the choices of Touvron et al. 2023 and grouped queries (Ainslie et al. 2023)."""
    return ModelConfig(
        num_key_value_heads=2, feed_forward_width=344, norm="rms_norm", activation="swiglu", positions="rotary",
        output="free",
    )  # fmt: skip


def gpt_2_small() -> ModelConfig:
    """GPT-2 124M (Radford et al. 2019, table 2), without the biases of its attention."""
    return ModelConfig(
        vocabulary_size=50_257, context_tokens=1024, width=768, num_layers=12, num_heads=12, feed_forward_width=3072
    )
