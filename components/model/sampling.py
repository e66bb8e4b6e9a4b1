"""Text from a model, token by token.

In: a model, the tokens of a prompt, how to choose. Out: the tokens that follow. In between: the choice is made in
NumPy in float64 from a seed, so equal logits give equal tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

import numpy as np
import numpy.typing as npt
from keras import ops
from pydantic import Field

from components.core.stage import Config
from components.model.transformer import Past, Transformer


class Sampling(Config):
    """How to choose the next token."""

    num_tokens: int = Field(default=100, ge=1, le=1_000_000, description="most tokens to write")
    temperature: float = Field(default=0.8, ge=0, le=100, description="0 takes the likeliest; more is more varied")
    top_k: int = Field(default=50, ge=0, description="choose among so many of the likeliest; 0 is all")
    seed: int = Field(default=1, ge=0, description="of the random numbers")


def generate(model: Transformer, prompt: Sequence[int], sampling: Sampling, stop_token: int | None = None) -> list[int]:
    """The tokens that follow ``prompt``, without it, up to ``stop_token``, which is left out.

    Raises ValueError for an empty prompt or one with a token that the model does not have.
    """
    if not prompt or not 0 <= min(prompt) <= max(prompt) < model.config.vocabulary_size:
        raise ValueError(f"a prompt needs one token or more, each from 0 to {model.config.vocabulary_size - 1}")
    tokens = islice(_endless(model, list(prompt), sampling), sampling.num_tokens)
    return list(takewhile(lambda token: token != stop_token, tokens))


def choose(logits: npt.NDArray[np.float32], sampling: Sampling, random: np.random.Generator) -> int:
    """One token by its logits [V]; of equal ones among the likeliest, the lower number counts first."""
    order = np.argsort(-logits.astype(np.float64), kind="stable")
    if sampling.temperature == 0:
        return int(order[0])
    order = order[: sampling.top_k or None]
    scores = logits[order].astype(np.float64) / sampling.temperature
    chances = np.cumsum(np.exp(scores - scores[0]))
    return int(order[np.searchsorted(chances, random.random() * chances[-1], side="right")])


def _endless(model: Transformer, context: list[int], sampling: Sampling) -> Iterator[int]:
    random = np.random.default_rng(sampling.seed)
    unread, cache, limit = context[-model.config.context_tokens :], None, model.config.context_tokens
    while True:
        if _cached(cache) + len(unread) > limit:
            # The context is full. Its younger half is read again, so that this is rare.
            unread, cache = context[-max(1, limit // 2) :], None
        hidden, cache = model.extend(np.array([unread], dtype=np.int32), cache)
        token = choose(_last_logits(model, hidden), sampling, random)
        yield token
        context.append(token)
        unread = [token]


def _cached(cache: list[Past] | None) -> int:
    """How many tokens the cache holds."""
    return 0 if cache is None else int(cache[0][0].shape[2])


def _last_logits(model: Transformer, hidden: object) -> npt.NDArray[np.float32]:
    """The logits after the last token of the one sequence in ``hidden`` [1, T, D].  # [V]"""
    # The embedding comes first: its transpose would be a copy of megabytes for every token.
    weights = ops.cast(model.token_embedding, model.compute_type)
    logits = ops.matmul(weights, hidden[0, -1])  # type: ignore[index]
    return np.asarray(ops.convert_to_numpy(ops.cast(logits, "float32")))
