"""The section ``applications.NAME.prepare`` of params.yaml: which data, and how much of it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from components.core.stage import Config


class PrepareConfig(Config):
    """From documents and collected records to the examples of one application."""

    seed: int = Field(1, description="of the division of records whose source names no split", ge=0)
    from_corpus: bool = Field(False, description="make examples of the documents of the corpus")
    max_train_examples: int = Field(2000, description="most examples to learn from, chosen by their identity", ge=1)
    max_held_out_examples: int = Field(300, description="most examples of validation, and of test", ge=1)
    held_out_share: float = Field(
        0.1, description="of records whose source names no split: for validation, and for test", ge=0, le=0.4
    )
    labels: tuple[str, ...] = Field(
        (), description="the right labels, where an application has some; none: those found"
    )
    label_names: dict[str, str] = Field(
        default_factory=dict, description="what labels are called, by how they are written"
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="column of the collected records for each field that is called otherwise"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="values of the application's own")
