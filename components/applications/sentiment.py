"""Sentiment: whether a text speaks well of what it speaks of. The corpus holds none; records say which it is."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from components.applications.application import Application, Body
from components.applications.texts import layout, one_by_one


class SentimentRequest(Body):
    """A text that may praise or blame."""

    text: str = Field(min_length=1)


class SentimentResponse(Body):
    """The likeliest sentiment, and the probability of each."""

    sentiment: str
    probabilities: dict[str, float]


def _ask(request: SentimentRequest) -> str:
    return layout(("sentiment", request.text), ("label", ""))


def _respond(ranked: Sequence[tuple[str, float]]) -> SentimentResponse:
    return SentimentResponse(sentiment=ranked[0][0], probabilities=dict(ranked))


APPLICATION = Application(
    name="sentiment",
    sentence="Tells whether a text praises or blames.",
    request=SentimentRequest,
    response=SentimentResponse,
    example=SentimentRequest(text="A film that is a delight from its first scene to its last."),
    ask=_ask,
    respond=_respond,
    decoding="choose",
    metrics=("accuracy", "macro_f1", "brier", "calibration_error"),
    floors=("majority", "word_regression"),
    convert=one_by_one(SentimentRequest, "label"),
)
