"""What several applications do with texts and records.

In: texts, records. Out: excerpts, prompts, drafts. In between: everything that is cut is cut by one rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from components.applications.application import Body, Draft, Made, Maker, Material, Refusal
from components.core.files import sha256_bytes

# A prompt is fitted into the context by tokens; this only keeps far longer texts from being encoded at all.
_MOST_CHARACTERS = 4000


def layout(*parts: tuple[str, str]) -> str:
    """A prompt of named parts, each under a line with its name; the last one, empty, is where the answer stands."""
    return "".join(f"[{name}]\n{excerpt(text)}\n" if text else f"[{name}]\n" for name, text in parts)


def excerpt(text: str) -> str:
    """A text, or its first 4,000 characters, without blank ends."""
    return text[:_MOST_CHARACTERS].strip()


def one_by_one(request: type[Body], answer: str) -> Maker:
    """Makes one example of each record: the fields of ``request`` and, under the name ``answer``, what is right.

    A record may hold a list of right answers; the first is learned.
    """

    def convert(materials: Sequence[Material], _options: Any) -> Iterator[Made]:
        for material in materials:
            yield material, draft_of(material.fields, request, answer)

    return convert


def draft_of(fields: Mapping[str, Any], request: type[Body], answer: str) -> Draft | Refusal:
    """The fields of ``request`` and, under the name ``answer``, one or more right answers, as a draft."""
    asked = {name: fields[name] for name in request.model_fields if name in fields}
    right = fields.get(answer)
    answers = [text.strip() for text in (right if isinstance(right, list) else [right]) if isinstance(text, str)]
    answers = [text for text in answers if text]
    try:
        return Draft(request.model_validate(asked), answers[0] if answers else None, answers[1:])
    except ValidationError as error:
        return refuse(error)


def refuse(error: ValidationError) -> Refusal:
    """Why fields are no request."""
    first = error.errors(include_url=False)[0]
    return Refusal("unreadable", f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def each(make: Callable[[Material, Any], Draft | Refusal]) -> Maker:
    """Makes one example of each material by ``make(material, options)``."""

    def derive(materials: Sequence[Material], options: Any) -> Iterator[Made]:
        for material in materials:
            yield material, make(material, options)

    return derive


def grouped(material: Material, text: str) -> Material:
    """The material as one of a group: all that ask about the same text stand together in one split."""
    return material._replace(identity=sha256_bytes(" ".join(text.lower().split()).encode())[:32])
