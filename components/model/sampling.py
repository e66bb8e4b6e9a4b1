"""Text from a model, token by token.

In: a model, the tokens of a prompt, how to choose. Out: the tokens that follow. In between: each token is read
once, into a memory of keys and values; the choice is made in NumPy in float64 from a seed, so equal logits give
equal tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

import numpy as np
import numpy.typing as npt
from keras import ops
from pydantic import Field

from components.core.stage import Config
from components.model.transformer import Memory, Transformer

Logits = npt.NDArray[np.float32]


class Sampling(Config):
    """How to choose the next token."""

    num_tokens: int = Field(default=100, ge=1, le=1_000_000, description="most tokens to write")
    temperature: float = Field(default=0.8, ge=0, le=100, description="0 takes the likeliest; more is more varied")
    top_k: int = Field(default=50, ge=0, description="choose among so many of the likeliest; 0 is all")
    seed: int = Field(default=1, ge=0, description="of the random numbers")


def generate(model: Transformer, prompt: Sequence[int], sampling: Sampling, stop_token: int | None = None) -> list[int]:
    """The tokens that follow ``prompt``, without it, up to ``stop_token``, which is left out.

    The first call for a model compiles. Raises ValueError for an empty prompt or one with a token that the model
    does not have.
    """
    last = model.config.vocabulary_size - 1
    if not prompt or not 0 <= min(prompt) <= max(prompt) <= last:
        raise ValueError(f"a prompt needs one token or more, each from 0 to {last}")
    tokens = islice(_endless(model, list(prompt), sampling), sampling.num_tokens)
    return list(takewhile(lambda token: token != stop_token, tokens))


def choose(logits: Logits, sampling: Sampling, random: np.random.Generator) -> int:
    """One token by its logits [V]; of equal ones among the likeliest, the lower number comes first."""
    order = np.argsort(-logits.astype(np.float64), kind="stable")
    if sampling.temperature == 0:
        return int(order[0])
    order = order[: sampling.top_k or None]
    scores = logits[order].astype(np.float64) / sampling.temperature
    chances = np.cumsum(np.exp(scores - scores[0]))
    return int(order[np.searchsorted(chances, random.random() * chances[-1], side="right")])


def _endless(model: Transformer, context: list[int], sampling: Sampling) -> Iterator[int]:
    random, limit = np.random.default_rng(sampling.seed), model.config.context_tokens
    memories, num_seen, unread = model.empty_memories(1), 0, context[-limit:]
    while True:
        if num_seen + len(unread) > limit:
            # The context is full. Its younger half is read again, so that this is rare.
            num_seen, unread = 0, context[-(limit // 2) :]
        logits, memories = _read(model, unread, memories, num_seen)
        num_seen += len(unread)
        context.append(choose(logits, sampling, random))
        unread = context[-1:]
        yield context[-1]


def _read(model: Transformer, unread: list[int], memories: list[Memory], start: int) -> tuple[Logits, list[Memory]]:
    """The logits after ``unread``, which is one token or the beginning of what is remembered."""
    # Two shapes in all, so two graphs: what fills up the second is never seen by the tokens before it.
    tokens = np.zeros((1, 1 if len(unread) == 1 else model.config.context_tokens), np.int32)
    tokens[0, : len(unread)] = unread
    logits, memories = model.compiled_next_logits(tokens, memories, np.int32(start), np.int32(len(unread) - 1))
    return np.asarray(ops.convert_to_numpy(logits)), memories
