"""The values of the pack stage."""

from __future__ import annotations

from pydantic import Field

from components.core.stage import Config


class PackConfig(Config):
    """Section ``pack`` of params.yaml."""

    context_tokens: int = Field(default=512, ge=8, le=1 << 20, description="tokens of a window that a model reads")
    shard_tokens: int = Field(default=1 << 28, ge=1, le=1 << 40, description="tokens of one file of a split")
    canaries: int = Field(default=0, ge=0, le=10_000, description="different secrets planted into the training")
    canary_copies: int = Field(default=4, ge=1, le=1000, description="times that each of them is planted")
