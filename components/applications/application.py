"""What an application is, as one value: how data becomes questions, how a model is asked, what counts as right.

In: materials (documents of the corpus, records that somebody collected) and requests (of users, over HTTP). Out: drafts
of examples, prompts, responses. In between: a user's request and an example of the training are the same type and
become a prompt by the same function, so what is served is what was learned.

A prompt ends with a line feed, or is empty, and the answer follows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from components.core.stage import Config


class Body(BaseModel):
    """Base of every request and response: frozen, strict, no unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Material(NamedTuple):
    """What examples are made of: a document of the corpus, or a record of a collected table.

    ``fields`` are the columns of a record; of a document its ``text`` and what its source knows of it (``name``,
    ``kind``, ``source``). ``split`` is None where its source does not say it.
    """

    identity: str
    fields: Mapping[str, Any]
    source: str
    licence: str
    language: str | None
    split: str | None


class Draft(NamedTuple):
    """A question and its answer.

    Attributes:
        request: what is asked.
        answer: what a model should write; None where the label is missing.
        references: further answers that are as right.
        choices: the answers among which to choose in this example alone.
        part: tells drafts of one material apart.
    """

    request: Body
    answer: str | None
    references: Sequence[str] = ()
    choices: Sequence[str] = ()
    part: str = ""


class Refusal(NamedTuple):
    """Why nothing was made of a material, or of a part of it."""

    reason: str
    detail: str = ""
    part: str = ""


Made = tuple[Material, Draft | Refusal]
Maker = Callable[[Sequence[Material], Any], Iterator[Made]]


@dataclass(frozen=True)
class Application:
    """One application of a language model.

    Attributes:
        name: its name in params.yaml, in paths of files and of HTTP.
        sentence: what it does, for people.
        request, response: what a user sends and gets.
        example: a request to try it with.
        options: values of its own in params.yaml (``applications.NAME.prepare.options``).
        ask: the prompt of a request.
        respond: the response to a request: of a model that chooses, its choices with their probabilities, the
            likeliest first; of one that writes, the one text, with probability 1.
        decoding: ``choose`` among the few choices of the data, ``rank`` a catalogue of any size, or ``write`` freely.
        derive: examples out of documents of the corpus; None where they hold none.
        convert: examples out of collected records, whose columns have the names of the request's fields.
        metrics, floors: names of how answers are scored, and of what they are held against (``components.assess``); the
            first metric is the one that a gate looks at.
        catalogue: all that can be chosen, out of the same materials; None where that is what is found as answers.
        choices: what a request itself offers to choose from; None where the data says it.
        excluded: entries of the catalogue that are no answer to a request; None where every entry may be one.
        expects: what its examples must be like beyond those of any application: a sentence for people, which names
            the expectation in the suite of ``check``, and whether it holds of a request and its answer.
        max_answer_tokens: of an answer that is written.
    """

    name: str
    sentence: str
    request: type[Body]
    response: type[Body]
    example: Body
    ask: Callable[[Any], str]
    respond: Callable[[Sequence[tuple[str, float]]], Body]
    decoding: Literal["choose", "rank", "write"]
    convert: Maker
    metrics: tuple[str, ...]
    floors: tuple[str, ...]
    derive: Maker | None = None
    options: type[Config] = Config
    catalogue: Callable[[Sequence[Material], Any], list[str]] | None = None
    choices: Callable[[Any], list[str]] | None = None
    excluded: Callable[[Any], list[str]] | None = None
    expects: Mapping[str, Callable[[Any, str], bool]] = field(default_factory=dict)
    max_answer_tokens: int = 64

    @property
    def is_wordless(self) -> bool:
        """Whether nothing is asked in words, so that a model which was never fine-tuned can choose."""
        return self.choices is not None and not self.ask(self.example)

    def excluded_of(self, requests: Sequence[Body], numbers: Mapping[str, int]) -> list[set[int]]:
        """Of the choices, by their numbers, those that each request excludes."""
        if self.excluded is None:
            return [set() for _ in requests]
        return [{numbers[name] for name in self.excluded(request) if name in numbers} for request in requests]
