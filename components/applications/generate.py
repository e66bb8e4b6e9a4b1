"""Text generation: a text that begins as asked. From the corpus: the documentation that follows a first paragraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from components.applications.application import Application, Body, Draft, Material, Refusal
from components.applications.documentation import body, summary
from components.applications.texts import each, layout, one_by_one

_MOST_CHARACTERS = 800


class GenerateRequest(Body):
    """How the text begins, or what it is about."""

    prompt: str = Field(min_length=1)


class GenerateResponse(Body):
    """The text that follows."""

    text: str


def _ask(request: GenerateRequest) -> str:
    return layout(("generate", request.prompt), ("text", ""))


def _respond(ranked: Sequence[tuple[str, float]]) -> GenerateResponse:
    return GenerateResponse(text=ranked[0][0])


def _derive(material: Material, _options: Any) -> Draft | Refusal:
    text = str(material.fields["text"])
    first, rest = summary(text), body(text)
    if first is None or not rest:
        return Refusal("no_summary", "no first paragraph with something after it")
    return Draft(GenerateRequest(prompt=first), rest[:_MOST_CHARACTERS].strip())


APPLICATION = Application(
    name="generate",
    sentence="Writes the text that follows a first sentence.",
    request=GenerateRequest,
    response=GenerateResponse,
    example=GenerateRequest(prompt="Return the shortest path between two nodes of a graph."),
    ask=_ask,
    respond=_respond,
    decoding="write",
    metrics=("bits_per_byte", "distinct_2", "toxicity", "personal_data"),
    floors=("n_gram", "commonest_answer"),
    derive=each(_derive),
    convert=one_by_one(GenerateRequest, "text"),
    expects={"The text goes on beyond its beginning": lambda request, answer: answer not in request.prompt},
    max_answer_tokens=128,
)
