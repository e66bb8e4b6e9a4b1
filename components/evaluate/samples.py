"""What a model writes after fixed prompts.

In: a model that writes, its codec, prompts. Out: each prompt with its continuation. In between: each prompt has its
own seed, and every sample is shown, good or bad.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

from components.core.files import digest_of
from components.core.progress import Progress
from components.evaluate.config import EvaluateConfig
from components.model.writing import Sampling, Writer
from components.tokenizer.codec import Codec


def draw_samples(config: EvaluateConfig, writer: Writer, codec: Codec) -> list[dict[str, Any]]:
    """One sample per prompt, in the order of the prompts, and again until there are enough."""
    samples: list[dict[str, Any]] = []
    total = max(config.num_samples, len(config.prompts)) if config.prompts else 0
    with Progress("drawing samples", total=total, unit="samples") as progress:
        for number, prompt in zip(range(total), cycle(config.prompts), strict=False):
            seed = config.seed + number
            sampling = Sampling(num_tokens=config.max_new_tokens, temperature=config.temperature, seed=seed)
            # A document starts after an end of text.
            tokens = [codec.end_of_text, *codec.encode(prompt).tolist()]
            text = codec.decode(writer.write(tokens, sampling, codec.end_of_text))
            samples.append({"prompt": prompt, "seed": seed, "temperature": config.temperature, "text": text})
            progress.advance()
    return samples


def identity(sample: Mapping[str, Any]) -> str:
    """The digest of what was asked for, by which the samples of two models are compared."""
    return digest_of({key: sample[key] for key in ("prompt", "seed", "temperature")})
