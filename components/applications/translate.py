"""Machine translation: a text in another language. The corpus holds none; parallel texts are named as records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from components.applications.application import Application, Body, Draft, Made, Material, Refusal
from components.applications.texts import draft_of, grouped, layout
from components.core.stage import Config

_LANGUAGE = r"^[a-z]{2,3}$"
_MOST_TIMES, _FEW_BYTES = 9, 20


class TranslateOptions(Config):
    """Values of this application."""

    source: str = Field("en", description="language of the field `text`", pattern=_LANGUAGE)
    target: str = Field("de", description="language of the field `translation`", pattern=_LANGUAGE)
    both_ways: bool = Field(False, description="make a second example of each pair, in the other direction")


class TranslateRequest(Body):
    """A text, and the language that is wanted (ISO 639)."""

    text: str = Field(min_length=1)
    to: str = Field("de", pattern=_LANGUAGE)


class TranslateResponse(Body):
    """The translation."""

    translation: str


def _ask(request: TranslateRequest) -> str:
    return layout(("translate", request.text), (request.to, ""))


def _respond(ranked: Sequence[tuple[str, float]]) -> TranslateResponse:
    return TranslateResponse(translation=ranked[0][0])


def _is_of_like_length(request: TranslateRequest, answer: str) -> bool:
    """Whether neither text is more than nine times as long as the other, as for Moses (Koehn et al. 2007).

    Where Moses counts words, bytes of UTF-8 are counted: not everybody puts blanks between words, and a character of
    Chinese says what several of English do. A few words may be one.
    """
    shorter, longer = sorted(len(text.encode()) for text in (request.text, answer))
    return longer <= max(_FEW_BYTES, _MOST_TIMES * shorter)


def _convert(materials: Sequence[Material], options: TranslateOptions) -> Iterator[Made]:
    for material in materials:
        made = draft_of({**material.fields, "to": options.target}, TranslateRequest, "translation")
        group = grouped(material, str(material.fields.get("text")))
        yield group, made._replace(part=material.identity)
        if options.both_ways and isinstance(made, Draft):
            yield group, _turned(made, options)._replace(part=f"{material.identity} turned")


def _turned(made: Draft, options: TranslateOptions) -> Draft | Refusal:
    """The same pair in the other direction."""
    fields = {"text": made.answer, "translation": made.request.model_dump()["text"], "to": options.source}
    return draft_of(fields, TranslateRequest, "translation")


APPLICATION = Application(
    name="translate",
    sentence="Says a text in another language.",
    request=TranslateRequest,
    response=TranslateResponse,
    example=TranslateRequest(text="Two young people are outside.", to="de"),
    options=TranslateOptions,
    ask=_ask,
    respond=_respond,
    decoding="write",
    metrics=("bleu", "chrf", "bits_per_byte"),
    floors=("copy", "nearest_answer", "n_gram"),
    convert=_convert,
    expects={
        "A text and its translation are of like length": _is_of_like_length,
        "The translation is not the text itself": lambda request, answer: answer != request.text,
    },
    max_answer_tokens=96,
)
