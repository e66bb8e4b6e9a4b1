"""Classification: a text gets one of the labels that the data names. From the corpus: which library documents this?"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from components.applications.application import Application, Body, Draft, Material, Refusal
from components.applications.texts import each, layout, one_by_one
from components.core.stage import Config

_MOST_CHARACTERS = 200  # of a document: its beginning tells what it is about


class ClassifyOptions(Config):
    """Values of this application."""

    label: str = Field("source", description="what a document is classified by: source, or a fact of its source")


class ClassifyRequest(Body):
    """A text to classify."""

    text: str = Field(min_length=1)


class ClassifyResponse(Body):
    """The likeliest label, and the probability of each."""

    label: str
    probabilities: dict[str, float]


def _ask(request: ClassifyRequest) -> str:
    return layout(("classify", request.text), ("label", ""))


def _respond(ranked: Sequence[tuple[str, float]]) -> ClassifyResponse:
    return ClassifyResponse(label=ranked[0][0], probabilities=dict(ranked))


def _derive(material: Material, options: ClassifyOptions) -> Draft | Refusal:
    label = material.fields.get(options.label)
    text = str(material.fields["text"])[:_MOST_CHARACTERS]
    return Draft(ClassifyRequest(text=text), str(label) if label else None) if text.strip() else Refusal("empty")


APPLICATION = Application(
    name="classify",
    sentence="Gives a text one of the labels that it was trained on.",
    request=ClassifyRequest,
    response=ClassifyResponse,
    example=ClassifyRequest(text="Return the shortest path between source and target in the graph."),
    options=ClassifyOptions,
    ask=_ask,
    respond=_respond,
    decoding="choose",
    metrics=("accuracy", "macro_f1", "brier", "calibration_error"),
    floors=("majority", "word_regression"),
    derive=each(_derive),
    convert=one_by_one(ClassifyRequest, "label"),
)
