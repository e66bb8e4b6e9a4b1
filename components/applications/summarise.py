"""Summaries: a text in a line or two. From the corpus: the first paragraph of a docstring out of what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from components.applications.application import Application, Body, Draft, Material, Refusal
from components.applications.documentation import body, summary
from components.applications.texts import each, layout, one_by_one

_LEAST_BODY_CHARACTERS = 100


class SummariseRequest(Body):
    """A text to summarise."""

    text: str = Field(min_length=1)


class SummariseResponse(Body):
    """Its summary."""

    summary: str


def _ask(request: SummariseRequest) -> str:
    return layout(("summarise", request.text), ("summary", ""))


def _respond(ranked: Sequence[tuple[str, float]]) -> SummariseResponse:
    return SummariseResponse(summary=ranked[0][0])


def _derive(material: Material, _options: Any) -> Draft | Refusal:
    text = str(material.fields["text"])
    first, rest = summary(text), body(text)
    if first is None:
        return Refusal("no_summary", "the first paragraph is none")
    if len(rest) < _LEAST_BODY_CHARACTERS:
        return Refusal(
            "no_body", f"{len(rest)} characters after the first paragraph, at least {_LEAST_BODY_CHARACTERS}"
        )
    return Draft(SummariseRequest(text=rest), first)


APPLICATION = Application(
    name="summarise",
    sentence="Says a text in a line or two.",
    request=SummariseRequest,
    response=SummariseResponse,
    example=SummariseRequest(text="Parameters\n----------\nG : graph\n\nReturns\n-------\nThe number of nodes."),
    ask=_ask,
    respond=_respond,
    decoding="write",
    metrics=("rouge_1", "rouge_2", "rouge_l", "bits_per_byte"),
    floors=("lead", "commonest_answer", "n_gram"),
    derive=each(_derive),
    convert=one_by_one(SummariseRequest, "summary"),
    expects={"A summary is shorter than its text": lambda request, answer: len(answer) < len(request.text)},
)
