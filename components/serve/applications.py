"""The applications of a version: what a request asks, and how the model that learned it answers.

In: a request of an application's own type. Out: its answer, with the probabilities behind it. In between: the prompt
is made by the function that made the examples, and the same decoder chooses, ranks or writes as when the model was
assessed, so what is served is what was measured. Who chooses or ranks does so in a thread, a few at a time; who
writes takes a slot of the lanes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from components.applications import APPLICATIONS, Application, Body
from components.core.errors import InputError
from components.core.examples import Asked, begin
from components.model.answering import Answerer, Catalogue
from components.model.decoding import Choice
from components.serve.answers import Bell, write
from components.serve.aside import aside
from components.serve.engine import Engine, Order, Token
from components.serve.errors import invalid, too_slow
from components.tokenizer.codec import Codec

Response = TypeVar("Response", bound=BaseModel)
_NUM_RANKED = 10
_NUM_AT_ONCE = 2
_NUM_TOLD = 5  # likeliest tokens beside the one that was written


class Told(BaseModel):
    """A part of every answer."""

    model_config = ConfigDict(frozen=True)


class Chance(Told):
    """Something that could have been said, and its probability."""

    text: str
    probability: float


class Written(Told):
    """A token that was written, its probability, and what else it could have been."""

    token: str
    probability: float
    others: list[Chance]


class Usage(Told):
    """What the answer took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Answer(Told, Generic[Response]):
    """An answer of an application, and who gave it.

    Attributes:
        answer: the application's own response.
        text: what was written, as it is, or the likeliest choice.
        choices: of who chooses all, of who ranks the likeliest, with their probabilities.
        tokens: of who writes.
    """

    application: str
    model: str
    system_fingerprint: str
    answer: Response
    text: str
    choices: list[Chance]
    tokens: list[Written]
    usage: Usage


@dataclass(frozen=True)
class Learned:
    """Files of a version: a model, and what it is asked in one application."""

    model: Path
    asked: Asked


class Question(NamedTuple):
    """A request as a model meets it: what it reads, and the answers among which it chooses, as texts and as tokens."""

    request: Body
    prompt: list[int]
    names: Sequence[str]
    choices: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Skill:
    """An application and the model in memory that answers in it.

    Attributes:
        example: a request to try it with.
        names, choices: the answers among which it chooses, as texts and as tokens, where a request brings none.
        catalogue: the same as a tree, where it ranks them.
        places: so many requests choose or rank at once; one that nobody waits for any more keeps its place to its end.
    """

    application: Application
    example: Mapping[str, Any]
    codec: Codec
    engine: Engine
    answerer: Answerer
    names: Sequence[str]
    choices: Sequence[Sequence[int]]
    catalogue: Catalogue | None
    places: asyncio.Semaphore

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The place of each answer among ``names``; a catalogue is long, and a request names few of it."""
        return {name: number for number, name in enumerate(self.names)}

    def question(self, request: Body) -> Question:
        """The question of a request. Raises Refusal where what it is to choose from does not fit the context.

        Of a text that is too long, the middle is left out, as in the examples.
        """
        names, choices = self._offered(request)
        context = self.engine.config.context_tokens
        written = min(self.application.max_answer_tokens, context // 2)
        room = max((len(choice) + 1 for choice in choices), default=written)
        if room > context:
            message = f"This model's maximum context length is {context} tokens; the longest choice takes {room}."
            raise invalid(message, code="context_length_exceeded")
        encoded = self.codec.encode(self.application.ask(request))
        prompt = begin(encoded, self.codec.end_of_text, context - room).tolist()
        return Question(request, prompt, names, choices)

    def _offered(self, request: Body) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        if self.application.choices is None:
            return self.names, self.choices
        names = self.application.choices(request)
        return names, [tokens.tolist() for tokens in self.codec.encode_all(names)]


def learned_in(folder: Path) -> list[Learned]:
    """What the models below ``folder`` learned: each holds ``applications/NAME.json``. Raises InputError."""
    return [
        Learned(path.parent.parent, _read_asked(path))
        for model in (sorted(folder.iterdir()) if folder.is_dir() else ())
        for path in sorted((model / "applications").glob("*.json"))
    ]


def answering(model: Path, learned: Sequence[Learned]) -> dict[str, Learned]:
    """Who answers in each application: the first that learned it, or else ``model`` where nothing is asked in words."""
    untaught = [Learned(model, _untaught(each)) for each in APPLICATIONS.values() if each.is_wordless]
    return {one.asked.application: one for one in (*untaught, *reversed(learned))}


def _untaught(application: Application) -> Asked:
    example = application.example.model_dump(mode="json")
    return Asked(application=application.name, decoding=application.decoding, choices=[], example=example)


def _read_asked(path: Path) -> Asked:
    try:
        return Asked.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(str(path), found=str(error).splitlines()[0], expected="what is asked in an application",
                         fix="register the version again") from None  # fmt: skip


def learn(learned: Learned, codec: Codec, engine: Engine) -> Skill:
    """A skill that is ready to answer."""
    asked, application = learned.asked, APPLICATIONS[learned.asked.application]
    choices = [tokens.tolist() for tokens in codec.encode_all(asked.choices)]
    catalogue = Catalogue(choices, codec.end_of_text) if application.decoding == "rank" else None
    answerer = Answerer(engine.config, engine.weights, codec.end_of_text)
    places = asyncio.Semaphore(_NUM_AT_ONCE)
    return Skill(application, asked.example, codec, engine, answerer, asked.choices, choices, catalogue, places)


async def respond(skill: Skill, request: Body, bell: Bell, seconds: float) -> Mapping[str, Any]:
    """The fields of an ``Answer`` that the model gives.

    Raises Refusal for a request that does not fit the context, and when the time is over.
    """
    question = await asyncio.to_thread(skill.question, request)  # a long text takes its time
    if skill.application.decoding == "write":
        return await _written(skill, question.prompt, bell, seconds)
    try:
        async with asyncio.timeout(seconds):
            ranked = await _ranked_in_turn(skill, question)
    except TimeoutError:
        raise too_slow("The answer took longer than this server allows.", 504) from None
    return {
        "answer": skill.application.respond(ranked),
        "text": ranked[0][0] if ranked else "",
        "choices": [Chance(text=text, probability=chance) for text, chance in ranked],
        "tokens": [], "usage": _usage(len(question.prompt), 0),
    }  # fmt: skip


async def _ranked_in_turn(skill: Skill, question: Question) -> list[tuple[str, float]]:
    """Choices with their probabilities. Whoever leaves stops waiting; nothing stops the thread: it keeps the place."""
    await skill.places.acquire()
    loop = asyncio.get_running_loop()

    def rank() -> list[tuple[str, float]]:
        try:
            return _ranked(skill, [question])[0]
        finally:
            loop.call_soon_threadsafe(skill.places.release)

    return await aside(rank)


def respond_all(skill: Skill, questions: Sequence[Question]) -> list[BaseModel]:
    """The responses to many questions, each as it would be alone."""
    if skill.application.decoding != "write":
        return [skill.application.respond(ranked) for ranked in _ranked(skill, questions)]
    prompts = [question.prompt for question in questions]
    written = skill.answerer.write(prompts, skill.application.max_answer_tokens)
    return [skill.application.respond([(skill.codec.decode(tokens).strip(), 1.0)]) for tokens in written]


def _ranked(skill: Skill, questions: Sequence[Question]) -> list[list[tuple[str, float]]]:
    """Choices with their probabilities, the likeliest first: of few all, of a catalogue the first ten."""
    prompts = [question.prompt for question in questions]
    if skill.catalogue is not None:
        names = skill.names
        excluded = skill.application.excluded_of([question.request for question in questions], skill.numbers)
        found = skill.answerer.rank(prompts, skill.catalogue, min(_NUM_RANKED, len(names)), excluded)
        return [[(names[number], math.exp(chance)) for number, chance in entries] for entries in found]
    scores = skill.answerer.score(prompts, [question.choices for question in questions])
    return [_in_order(question.names, found.tolist()) for question, found in zip(questions, scores, strict=True)]


def _in_order(names: Sequence[str], chances: Sequence[float]) -> list[tuple[str, float]]:
    total = math.fsum(math.exp(chance - max(chances)) for chance in chances)
    shares = {name: math.exp(chance - max(chances)) / total for name, chance in zip(names, chances, strict=True)}
    return sorted(shares.items(), key=lambda pair: -pair[1])


async def _written(skill: Skill, prompt: Sequence[int], bell: Bell, seconds: float) -> Mapping[str, Any]:
    """A text, the likeliest token after the likeliest token."""
    choice = Choice(temperature=0.0, num_top=min(_NUM_TOLD, skill.codec.vocabulary_size))
    room = min(skill.application.max_answer_tokens, skill.engine.config.context_tokens - len(prompt))
    order, text, tokens = Order(prompt, choice, room, 0, skill.codec.end_of_text), "", list[Token]()
    async with aclosing(write(skill.engine, skill.codec, bell, [order], (), seconds)) as pieces:
        async for piece in pieces:
            text, tokens = text + piece.text, [*tokens, *piece.tokens]
    return {
        "answer": skill.application.respond([(text.strip(), 1.0)]),
        "text": text, "choices": [], "tokens": [_token(skill.codec, token) for token in tokens],
        "usage": _usage(len(prompt), len(tokens)),
    }  # fmt: skip


def _token(codec: Codec, token: Token) -> Written:
    others = [Chance(text=codec.decode([number]), probability=math.exp(chance)) for number, chance in token.top]
    return Written(token=codec.decode([token.number]), probability=math.exp(token.log_probability), others=others)


def _usage(prompt: int, completion: int) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
