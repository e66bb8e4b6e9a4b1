"""Question answering, with a text to find the answer in or without. From the corpus: what does NAME do?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from components.applications.application import Application, Body, Draft, Made, Material, Refusal
from components.applications.documentation import summary
from components.applications.texts import draft_of, each, grouped, layout


class AnswerRequest(Body):
    """A question, and perhaps a text that holds the answer."""

    question: str = Field(min_length=1)
    context: str = ""


class AnswerResponse(Body):
    """The answer."""

    answer: str


def _ask(request: AnswerRequest) -> str:
    context = [("context", request.context)] if request.context else []
    return layout(*context, ("question", request.question), ("answer", ""))


def _respond(ranked: Sequence[tuple[str, float]]) -> AnswerResponse:
    return AnswerResponse(answer=ranked[0][0])


def _derive(material: Material, _options: Any) -> Draft | Refusal:
    name, first = material.fields.get("name"), summary(str(material.fields["text"]))
    if not name:
        return Refusal("no_name", "its source does not say what it documents")
    if first is None:
        return Refusal("no_summary", "the first paragraph is none")
    return Draft(AnswerRequest(question=f"What does {name} do?"), first)


def _convert(materials: Sequence[Material], _options: Any) -> Iterator[Made]:
    for material in materials:
        made = draft_of(material.fields, AnswerRequest, "answers")
        context = str(material.fields.get("context") or "")
        yield (grouped(material, context), made._replace(part=material.identity)) if context else (material, made)


APPLICATION = Application(
    name="answer",
    sentence="Answers a question, out of a text or of what it learned.",
    request=AnswerRequest,
    response=AnswerResponse,
    example=AnswerRequest(question="What does numpy.linalg.norm do?"),
    ask=_ask,
    respond=_respond,
    decoding="write",
    metrics=("token_f1", "exact_match", "bits_per_byte"),
    floors=("nearest_answer", "first_sentence", "commonest_answer", "n_gram"),
    derive=each(_derive),
    convert=_convert,
    expects={"The answer does not repeat the question": lambda request, answer: answer != request.question},
)
