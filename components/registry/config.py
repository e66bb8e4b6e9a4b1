"""The values of the registry's two stages: under which name to register, and when a challenger wins."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.stage import Config

Direction = Literal["higher", "lower"]


class RegisterConfig(Config):
    """Section ``register`` of params.yaml."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
        description="name of the registered model and of the experiment; models of one name compete with each other",
    )


class Primary(Config):
    """What a challenger must be better in."""

    metric: str = Field(default="bits_per_byte", min_length=1, description="a metric of the evaluation")
    worse: Direction = Field(default="higher", description="which direction of the metric is worse")
    margin: float = Field(default=0.0, ge=0.0, description="how much better it must be, in units of the metric")


class Guardrail(Config):
    """What a challenger must not be worse in than the champion, by more than a margin, or than a limit."""

    name: str = Field(min_length=1, max_length=60, description="by which people call it")
    metric: str = Field(min_length=1, description="a metric of the evaluation")
    by: str = Field(default="", description="judge each slice of this kind (source, language); '' is all documents")
    worse: Direction = Field(default="higher", description="which direction of the metric is worse")
    margin: float | None = Field(
        default=None, gt=0.0, description="how much worse it may be; none: the limit alone counts, whoever is champion"
    )
    is_relative: bool = Field(default=False, description="whether the margin is a share of the champion's value")
    is_paired: bool = Field(default=True, description="whether both models must have been scored on the same items")
    limit: float | None = Field(default=None, description="what no model may be worse than, the first one included")
    most_of_one: float | None = Field(
        default=None, gt=0.0,
        description="how much one document can change at most; bounds what documents that all agree do not show",
    )  # fmt: skip

    @model_validator(mode="after")
    def _slices_are_paired(self) -> Guardrail:
        if self.by and not self.is_paired:
            raise ValueError("slices are judged on the same items only: is_paired must be true where `by` is given")
        return self

    @model_validator(mode="after")
    def _has_a_bound(self) -> Guardrail:
        if self.margin is None and (self.limit is None or self.by or self.is_relative):
            raise ValueError("a guardrail has a margin or a limit, and a margin where `by` or `is_relative` is given")
        return self


class Rule(Config):
    """By what a challenger and a champion are compared."""

    primary: Primary = Field(default_factory=Primary, description="what a challenger must be better in")
    guardrails: tuple[Guardrail, ...] = Field(default=(), description="what it must not be worse in")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [guardrail.name for guardrail in self.guardrails]
        if len(set(names)) != len(names):
            raise ValueError("two guardrails have the same name")
        return self


class PromoteConfig(Rule):
    """Section ``promote`` of params.yaml: fixed before training, so that no result can choose its own bar."""

    applications: dict[str, Rule] = Field(
        default_factory=dict,
        description="applications with a champion of their own, and the rule by which it is found; the metrics are "
        "those of the application's assessment",
    )
    level: float = Field(
        default=0.95, gt=0.5, lt=1.0,
        description="level of the intervals; its error is shared by all looks at the same documents",
    )  # fmt: skip
    min_documents: int = Field(default=20, ge=2, description="slices of fewer documents are judged together")
    num_resamples: int = Field(default=2000, ge=200, le=100_000, description="least bootstrap resamples of documents")
    seed: int = Field(default=1, ge=0, description="seed of the resamples")
    require_approval: bool = Field(default=False, description="whether a person must agree before the alias moves")

    def of(self, application: str) -> PromoteConfig:
        """The same with the rule of an application."""
        rule = self.applications[application]
        return self.model_copy(update={"primary": rule.primary, "guardrails": rule.guardrails, "applications": {}})
