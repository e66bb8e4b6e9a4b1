"""From a request to orders: prompts to tokens, options to choices, limits checked before anything is written.

In: a request and the version that shall answer. Out: one order per text. In between: an answer fits the context
together with its prompt, or the request is refused. Equal seeds give equal texts; without a seed one is drawn.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from pydantic import ValidationError

from components.model.decoding import Choice
from components.serve.applications import Skill
from components.serve.engine import Engine, Order
from components.serve.errors import Refusal, invalid
from components.serve.protocol import ChatRequest, CompletionRequest, Message, Options
from components.serve.versions import Served

_LONG_CHARACTERS = 4000  # from here on a text is encoded in a thread
_NAMES = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant"}
_CHAT = "chat"  # the application
# Where the next turn of a transcript would begin.
_CHAT_STOPS = ("\nUser:", "\nSystem:", "\nAssistant:")


async def orders_of(
    request: CompletionRequest | ChatRequest, served: Served
) -> tuple[Engine, list[Order], tuple[str, ...]]:
    """Who writes, the orders of a request, and the strings that end their texts."""
    if not isinstance(request, ChatRequest):
        return served.engine, await completion_orders(request, served), request.stops
    if skill := served.skills.get(_CHAT):
        return skill.engine, _chat_orders(request, served, await _conversation(request.messages, skill)), request.stops
    prompt = await _tokens(transcript(request.messages), served)
    return served.engine, _chat_orders(request, served, prompt), (*request.stops, *_CHAT_STOPS)


async def completion_orders(request: CompletionRequest, served: Served) -> list[Order]:
    """The orders of a completion: ``n`` of each prompt, one prompt after the other."""
    prompts = [await _tokens(prompt, served) for prompt in _each(request.prompt)]
    return _orders(request, served, prompts, request.max_tokens, request.logprobs or 0)


def _chat_orders(request: ChatRequest, served: Served, prompt: list[int]) -> list[Order]:
    most = request.max_completion_tokens or request.max_tokens
    return _orders(request, served, [prompt], most, request.top_logprobs or 0)


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as a base model can go on with it: a transcript, its next turn begun.

    The model has not been tuned to converse; whether it answers or rambles is up to it.
    """
    turns = [f"{_NAMES[message.role]}: {message.text}" for message in messages]
    return "\n".join([*turns, "Assistant:"])


async def _conversation(messages: Sequence[Message], skill: Skill) -> list[int]:
    turns = [{"role": message.role, "content": message.text} for message in messages]
    for turn in turns:
        _check_text(turn["content"])
    try:
        asked = skill.application.request.model_validate({"messages": turns})
    except ValidationError as error:
        raise invalid(f"messages: {error.errors()[0]['msg']}"[:500], param="messages") from None
    return (await asyncio.to_thread(skill.question, asked)).prompt


def _each(prompt: str | list[int] | list[str] | list[list[int]]) -> Sequence[str | list[int]]:
    if isinstance(prompt, str) or isinstance(prompt[0], int):
        return [prompt]
    return prompt


async def _tokens(prompt: str | list[int], served: Served) -> list[int]:
    if isinstance(prompt, list):
        return _checked(prompt, served.codec.vocabulary_size)
    _check_text(prompt)
    encode = served.codec.encode
    found = encode(prompt) if len(prompt) < _LONG_CHARACTERS else await asyncio.to_thread(encode, prompt)
    # A document starts after an end of text.
    return [served.codec.end_of_text, *found.tolist()]


def _check_text(prompt: str) -> None:
    """JSON can hold half a character (``\\ud800``), which is no text."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise invalid("The text holds half of a character (a lone surrogate).", param="prompt") from None


def _checked(tokens: list[int], vocabulary_size: int) -> list[int]:
    if not 0 <= min(tokens) <= max(tokens) < vocabulary_size:
        raise invalid(f"Tokens of this model are numbers from 0 to {vocabulary_size - 1}.", param="prompt")
    return tokens


def _orders(
    request: Options, served: Served, prompts: Sequence[list[int]], most: int | None, num_top: int
) -> list[Order]:
    choice = Choice(
        1.0 if request.temperature is None else request.temperature,
        min(request.top_k, served.codec.vocabulary_size),
        1.0 if request.top_p is None else request.top_p,
        request.repetition_penalty,
        min(num_top, served.codec.vocabulary_size),
    )
    seed = secrets.randbits(63) if request.seed is None else request.seed % (1 << 64)
    texts = [prompt for prompt in prompts for _ in range(request.n or 1)]
    return [
        Order(
            prompt, choice, _room(prompt, most, served.engine.config.context_tokens), seed + i, served.codec.end_of_text
        )
        for i, prompt in enumerate(texts)
    ]


def _room(prompt: Sequence[int], most: int | None, context: int) -> int:
    """How many tokens may be written. Raises Refusal when they do not fit."""
    wanted = 1 if most is None else most
    if len(prompt) + wanted > context:
        raise _too_long(len(prompt), wanted, context)
    return context - len(prompt) if most is None else most


def _too_long(prompt: int, wanted: int, context: int) -> Refusal:
    message = (
        f"This model's maximum context length is {context} tokens. However, you requested {prompt + wanted} tokens "
        f"({prompt} in the prompt, {wanted} in the completion)."
    )
    return invalid(message, param="max_tokens" if prompt < context else "prompt", code="context_length_exceeded")
