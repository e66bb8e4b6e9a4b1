"""Grammar: which of some sentences is well-formed, by the probability that a model gives each as a text of its own.

Nothing is asked in words, so a model that was never fine-tuned can answer; minimal pairs are BLiMP's (Warstadt et al.
2020, section 4.2). Records have the columns ``good`` and ``bad``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from components.applications.application import Application, Body, Draft, Made, Material, Refusal


class GrammarRequest(Body):
    """Sentences to choose from."""

    sentences: list[str] = Field(min_length=2, max_length=100)


class GrammarResponse(Body):
    """The likeliest sentence, and the probability of each."""

    sentence: str
    probabilities: dict[str, float]


def _ask(_request: GrammarRequest) -> str:
    return ""


def _choices(request: GrammarRequest) -> list[str]:
    """What is sent twice is one choice."""
    return list(dict.fromkeys(request.sentences))


def _respond(ranked: Sequence[tuple[str, float]]) -> GrammarResponse:
    return GrammarResponse(sentence=ranked[0][0], probabilities=dict(ranked))


def _convert(materials: Sequence[Material], _options: Any) -> Iterator[Made]:
    for material in materials:
        yield material, _pair(material.fields)


def _pair(fields: Mapping[str, Any]) -> Draft | Refusal:
    good, bad = fields.get("good"), fields.get("bad")
    if not isinstance(good, str) or not isinstance(bad, str) or good == bad:
        return Refusal("no_pair", "a record needs two different texts, good and bad")
    sentences = sorted((good, bad))
    return Draft(GrammarRequest(sentences=sentences), good, choices=sentences)


APPLICATION = Application(
    name="grammar",
    sentence="Tells which of some sentences is well-formed.",
    request=GrammarRequest,
    response=GrammarResponse,
    example=GrammarRequest(sentences=["The cats annoy Tim.", "The cats annoys Tim."]),
    ask=_ask,
    respond=_respond,
    decoding="choose",
    metrics=("accuracy", "calibration_error"),
    floors=("chance",),
    convert=_convert,
    choices=_choices,
)
