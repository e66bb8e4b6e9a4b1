"""Texts in a language that is not wanted.

In: the language of each text. Out: the section of the rule. In between: what a source says of its
own language is believed.
"""

from __future__ import annotations

from pydantic import Field

from components.core.stage import Config


class Language(Config):
    """Which languages a corpus is made of."""

    enabled: bool = Field(description="find the language of texts whose source does not say it")
    allowed: tuple[str, ...] = Field(description="ISO 639-1 codes; none stands for every language")
    prefix_bytes: int = Field(ge=64, le=1 << 20, description="of a text, that are looked at")
