"""How answers look: OpenAI's objects, whole and as pieces of a stream.

In: pieces of texts. Out: JSON values. In between: each object names the exact version (``model``) and its digest
(``system_fingerprint``), so that whoever has an answer can ask for its pedigree. Log-probabilities are the model's
own, before temperature and penalty.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

from components.serve.answers import Piece
from components.serve.engine import Token
from components.serve.versions import Served
from components.tokenizer.codec import Codec

Json = dict[str, Any]


@dataclass
class Text:
    """A text so far."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    reason: str | None = None

    def add(self, piece: Piece) -> None:
        """Take in the next piece."""
        self.text, self.reason = self.text + piece.text, piece.reason
        self.tokens += piece.tokens


class Format:
    """The objects of one answer, a completion or a turn of a chat."""

    def __init__(self, kind: Literal["completion", "chat"], served: Served, *, wants_logprobs: bool) -> None:
        self._is_chat, self._codec, self._wants_logprobs = kind == "chat", served.codec, wants_logprobs
        prefix = "chatcmpl" if self._is_chat else "cmpl"
        self._head = {
            "id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()),
            "model": served.identity.model, "system_fingerprint": served.identity.digest[:16],
        }  # fmt: skip

    def whole(self, texts: Sequence[Text], usage: Json) -> Json:
        """The whole answer as one object."""
        kind = "chat.completion" if self._is_chat else "text_completion"
        choices = [self._choice(i, text) for i, text in enumerate(texts)]
        return {**self._head, "object": kind, "choices": choices, "usage": usage}

    def opening(self, num_texts: int) -> Iterator[Json]:
        """What a stream begins with."""
        if self._is_chat:
            delta = {"role": "assistant", "content": ""}
            yield from (self._chunk([{"index": i, "delta": delta, "finish_reason": None}]) for i in range(num_texts))

    def piece(self, piece: Piece, offset: int) -> Json:
        """A piece of a stream; the text before it has ``offset`` characters."""
        reason, logprobs = piece.reason, self._logprobs(piece.tokens, offset)
        said = {"delta": {"content": piece.text}} if self._is_chat else {"text": piece.text}
        return self._chunk([{"index": piece.index, **said, "logprobs": logprobs, "finish_reason": reason}])

    def closing(self, usage: Json) -> Json:
        """The last object of a stream that shall tell its usage."""
        return {**self._chunk([]), "usage": usage}

    def _chunk(self, choices: list[Json]) -> Json:
        kind = "chat.completion.chunk" if self._is_chat else "text_completion"
        return {**self._head, "object": kind, "choices": choices}

    def _choice(self, index: int, text: Text) -> Json:
        said = {"message": {"role": "assistant", "content": text.text}} if self._is_chat else {"text": text.text}
        logprobs = self._logprobs(text.tokens, 0)
        return {"index": index, **said, "logprobs": logprobs, "finish_reason": text.reason}

    def _logprobs(self, tokens: Sequence[Token], offset: int) -> Json | None:
        if not self._wants_logprobs:
            return None
        return _chat_logprobs(self._codec, tokens) if self._is_chat else _logprobs(self._codec, tokens, offset)


def usage(prompt_tokens: int, completion_tokens: int) -> Json:
    """What an answer took."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def _chat_logprobs(codec: Codec, tokens: Sequence[Token]) -> Json:
    entries = []
    for token in tokens:
        top = [_entry(codec, number, value) for number, value in token.top]
        entries.append({**_entry(codec, token.number, token.log_probability), "top_logprobs": top})
    return {"content": entries, "refusal": None}


def _entry(codec: Codec, number: int, value: float) -> Json:
    return {"token": codec.decode([number]), "logprob": value, "bytes": list(codec.decode_bytes([number]))}


def _logprobs(codec: Codec, tokens: Sequence[Token], offset: int) -> Json:
    names = [codec.decode([token.number]) for token in tokens]
    offsets = list(accumulate(map(len, names[:-1]), initial=offset)) if names else []
    top: list[Mapping[str, float]] = [{codec.decode([n]): value for n, value in token.top} for token in tokens]
    values = [token.log_probability for token in tokens]
    return {"tokens": names, "token_logprobs": values, "top_logprobs": top, "text_offset": offsets}
