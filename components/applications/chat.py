"""Dialogue: the next turn of a conversation. From the corpus: questions about a function and what it takes.

Records are conversations (``messages``, each with ``role`` and ``content``, as OpenAI writes them) or a ``prompt`` and
its ``response``. The last turn of the assistant is learned, those before it are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from components.applications.application import Application, Body, Draft, Made, Material, Refusal
from components.applications.documentation import parameters, summary
from components.applications.texts import each, excerpt, refuse

_NAMES = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant"}


class Turn(Body):
    """What somebody says."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class ChatRequest(Body):
    """A conversation so far; the last to speak is not the assistant."""

    messages: list[Turn] = Field(min_length=1)

    @field_validator("messages")
    @classmethod
    def _waits_for_the_assistant(cls, messages: list[Turn]) -> list[Turn]:
        if messages[-1].role == "assistant":
            raise ValueError("the last message is the assistant's own")
        return messages


class ChatResponse(Body):
    """The assistant's turn."""

    message: Turn


def _ask(request: ChatRequest) -> str:
    turns = "".join(f"{_NAMES[turn.role]}: {excerpt(turn.content)}\n" for turn in request.messages)
    return f"[chat]\n{turns}{_NAMES['assistant']}:\n"


def _respond(ranked: Sequence[tuple[str, float]]) -> ChatResponse:
    return ChatResponse(message=Turn(role="assistant", content=ranked[0][0]))


def _derive(material: Material, _options: Any) -> Draft | Refusal:
    name, text = material.fields.get("name"), str(material.fields["text"])
    first, taken = summary(text), parameters(text)
    if not name or first is None:
        return Refusal("no_summary", "no name, or no first paragraph")
    turns = [Turn(role="user", content=f"What does {name} do?")]
    if not taken:
        return Draft(ChatRequest(messages=turns), first)
    turns += [Turn(role="assistant", content=first), Turn(role="user", content="What does it take?")]
    return Draft(ChatRequest(messages=turns), ", ".join(taken))


def _convert(materials: Sequence[Material], _options: Any) -> Iterator[Made]:
    for material in materials:
        yield material, _conversation(material.fields)


def _conversation(fields: Mapping[str, Any]) -> Draft | Refusal:
    messages = fields.get("messages")
    if messages is None:
        messages = [{"role": "user", "content": fields.get("prompt")}]
        messages += [{"role": "assistant", "content": fields["response"]}] if fields.get("response") else []
    if not isinstance(messages, list) or not messages:
        return Refusal("unreadable", "neither messages nor a prompt")
    *before, last = messages
    is_answered = isinstance(last, dict) and last.get("role") == "assistant"
    try:
        request = ChatRequest.model_validate({"messages": before if is_answered else messages})
    except ValidationError as error:
        return refuse(error)
    return Draft(request, str(last.get("content") or "").strip() or None if is_answered else None)


APPLICATION = Application(
    name="chat",
    sentence="Says the assistant's next turn in a conversation.",
    request=ChatRequest,
    response=ChatResponse,
    example=ChatRequest(messages=[Turn(role="user", content="What does numpy.linalg.norm do?")]),
    ask=_ask,
    respond=_respond,
    decoding="write",
    metrics=("token_f1", "rouge_l", "bits_per_byte", "toxicity", "personal_data"),
    floors=("nearest_answer", "commonest_answer", "n_gram"),
    derive=each(_derive),
    convert=_convert,
    expects={"The assistant does not repeat what was said last": lambda r, answer: answer != r.messages[-1].content},
    max_answer_tokens=96,
)
