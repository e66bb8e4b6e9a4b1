"""The values of the pack stage."""

from __future__ import annotations

from pydantic import Field

from components.core.stage import Config


class PackConfig(Config):
    """Section ``pack`` of params.yaml."""

    context_tokens: int = Field(default=512, ge=8, le=1 << 20, description="tokens of a window that a model reads")
    shard_tokens: int = Field(default=1 << 28, ge=1, le=1 << 40, description="tokens of one file of a split")
