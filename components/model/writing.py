"""Text from a model, one after the other, without a server.

In: a model, the tokens of a prompt, how to choose. Out: the tokens that follow. In between: it is the decoder of
serving that writes, so equal weights, prompts, options and seeds give equal tokens here and there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

import numpy as np
from pydantic import Field

from components.core.stage import Config
from components.model.config import ModelConfig
from components.model.decoding import Choice, Decoder
from components.model.decoding_kernels import Weights

_STEPS_AT_ONCE = 16


class Sampling(Config):
    """How to choose the next token."""

    num_tokens: int = Field(default=100, ge=1, le=1_000_000, description="most tokens to write")
    temperature: float = Field(default=0.8, ge=0, le=100, description="0 takes the likeliest; more is more varied")
    top_k: int = Field(default=50, ge=0, le=1 << 30, description="choose among so many of the likeliest; 0 is all")
    seed: int = Field(default=1, ge=0, description="of the random numbers")


class Writer:
    """A model that writes; a text may be longer than its context."""

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self._config, self._decoder = config, Decoder(config, weights, num_slots=1)

    def write(self, prompt: Sequence[int], sampling: Sampling, stop_token: int | None = None) -> list[int]:
        """The tokens that follow ``prompt``, without it, up to ``stop_token``, which is left out.

        Raises ValueError for an empty prompt or one with a token that the model does not have.
        """
        last = self._config.vocabulary_size - 1
        if not prompt or not 0 <= min(prompt) <= max(prompt) <= last:
            raise ValueError(f"a prompt needs one token or more, each from 0 to {last}")
        tokens = islice(self._endless(list(prompt), sampling), sampling.num_tokens)
        return list(takewhile(lambda token: token != stop_token, tokens))

    def _endless(self, text: list[int], sampling: Sampling) -> Iterator[int]:
        random, limit = np.random.default_rng(sampling.seed), self._config.context_tokens
        self._decoder.open(0, Choice(temperature=sampling.temperature, top_k=sampling.top_k))
        unread = text[-limit:]
        while True:
            text.append(self._read(unread, random.random()))
            yield text[-1]
            num_read = len(unread)
            while num_read < limit:
                uniforms = random.random((min(_STEPS_AT_ONCE, limit - num_read), 1))
                written = self._decoder.write(text[-1:], [0], [num_read], uniforms).tokens[:, 0].tolist()
                text += written
                yield from written
                num_read += len(written)
            # The context is full. Its younger half is read again, so that this is rare.
            unread = text[-(limit // 2) :]

    def _read(self, tokens: Sequence[int], uniform: float) -> int:
        """Read tokens from the beginning of the context on; the token after the last of them."""
        for start in range(0, len(tokens), self._decoder.most_rows):
            piece = tokens[start : start + self._decoder.most_rows]
            places, ends = range(start, start + len(piece)), [start + i == len(tokens) - 1 for i in range(len(piece))]
            page = self._decoder.read(piece, [0] * len(piece), places, ends, [uniform] * len(piece))
        return int(page.tokens[0, -1])
