"""What requests may say: OpenAI's completions and chat, with ``top_k`` and ``repetition_penalty`` besides.

In: JSON. Out: frozen values. In between: strict types, and no unknown name, so that a misspelt option is told and
not ignored. Options that only their neutral value makes sense for are accepted with that value, because clients
send them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_LARGEST_INTEGER = (1 << 63) - 1
_MOST_STOPS = 16  # each is looked for after every token
Zero = Annotated[float, Field(ge=0, le=0)]
Stops = Annotated[str, Field(min_length=1, max_length=1000)]


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class StreamOptions(_Request):
    """What a stream carries besides text."""

    include_usage: bool = False


class Options(_Request):
    """What both kinds of requests may say of how to write."""

    model: str = Field(min_length=1, max_length=500)
    temperature: float | None = Field(default=1.0, ge=0, le=2)
    top_p: float | None = Field(default=1.0, ge=0, le=1)
    top_k: int = Field(default=0, ge=0, le=_LARGEST_INTEGER)
    repetition_penalty: float = Field(default=1.0, ge=0.1, le=10)
    seed: int | None = Field(default=None, ge=-_LARGEST_INTEGER - 1, le=_LARGEST_INTEGER)
    stop: Stops | Annotated[list[Stops], Field(max_length=_MOST_STOPS)] | None = None
    n: int | None = Field(default=1, ge=1, le=16)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(default=None, max_length=1000)
    frequency_penalty: Zero | None = 0
    presence_penalty: Zero | None = 0

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


Tokens = Annotated[list[int], Field(min_length=1)]
Prompts = str | Tokens | Annotated[list[str], Field(min_length=1, max_length=16)] | Annotated[
    list[Tokens], Field(min_length=1, max_length=16)
]  # fmt: skip


class CompletionRequest(Options):
    """``POST /v1/completions``. An empty prompt is the beginning of a document."""

    prompt: Prompts = ""
    max_tokens: int | None = Field(default=16, ge=1)
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: Literal[False] | None = False
    best_of: Literal[1] | None = 1


class Part(_Request):
    """A piece of a message; there are only texts."""

    type: Literal["text"]
    text: str


class Message(_Request):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = Field(default=None, max_length=100)

    @property
    def text(self) -> str:
        """What was said."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(Options):
    """``POST /v1/chat/completions``."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
