"""The section ``applications.NAME.assess`` of params.yaml: which model, and how it is measured."""

from __future__ import annotations

from pydantic import Field

from components.core.pinned import PinnedFile
from components.core.stage import Config


class AssessConfig(Config):
    """Values of the assessment of one application."""

    model: str = Field(
        "train", description="whose answers: train, or finetune/NAME", pattern=r"^(train|finetune/[a-z0-9-]+)$"
    )
    seed: int = Field(1, description="of the resamples", ge=0)
    max_examples: int = Field(10_000, description="most examples of the test split, chosen by their identity", ge=2)
    beam_items: int = Field(20, description="entries of a catalogue that are looked for at once", ge=10, le=1000)
    toxic_texts: PinnedFile | None = Field(
        None,
        description="labelled texts (CSV: text, toxic) from which a judge of what is written learns; none: no judge",
    )
    level: float = Field(0.95, description="level of the intervals", gt=0.5, lt=1.0)
    num_resamples: int = Field(2000, description="bootstrap resamples of the groups", ge=200, le=100_000)
