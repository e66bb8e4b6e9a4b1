"""The values of the registry's two stages: under which name to register, and when a challenger wins."""

from __future__ import annotations

from pydantic import Field

from components.core.stage import Config


class RegisterConfig(Config):
    """Section ``register`` of params.yaml."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
        description="name of the registered model and of the experiment; models of one name compete with each other",
    )


class PromoteConfig(Config):
    """Section ``promote`` of params.yaml: fixed before training, so that no result can choose its own bar."""

    margin_bits_per_byte: float = Field(
        default=0.0, ge=0.0, le=8.0, description="how much better a challenger must be than the champion"
    )
    level: float = Field(default=0.95, gt=0.5, lt=1.0, description="level of the interval that decides")
    num_resamples: int = Field(default=2000, ge=200, le=100_000, description="bootstrap resamples of the documents")
    seed: int = Field(default=1, ge=0, description="seed of the resamples")
