"""How fast a run is, and where its time goes.

In: the phases of each step as they pass. Out: seconds of each, tokens per second, the share of what the machine can do.
In between: these are told to whoever watches. No clock reaches the artifact, which would differ from run to run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from components.model import ModelConfig
from components.train.backends import Batch

PHASES = ("data", "step", "validation", "checkpoint")


class Stopwatch:
    """The times of one step after the other."""

    def __init__(self, model: ModelConfig, peak: float) -> None:
        self._model, self._peak = model, peak
        self._begin_lap()

    def _begin_lap(self) -> None:
        self._num_tokens = self._num_operations = 0
        self._seconds, self._begin = dict.fromkeys(PHASES, 0.0), time.perf_counter()

    def count(self, batch: Batch) -> None:
        """Note how much the step had to do."""
        num_windows, num_tokens = batch.windows.shape[0], batch.windows.shape[1] - 1
        num_logits = batch.answers.places.size if batch.answers else num_windows * num_tokens
        self._num_tokens = num_windows * num_tokens
        self._num_operations = num_operations(self._model, num_windows, num_tokens, num_logits)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the block as ``name``'s."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begin

    def lap(self) -> dict[str, float]:
        """The figures of the step since the last lap, which ends here.

        Tokens learned from in a second, measurements and checkpoints left out; what the step does in a second, over
        the fastest matrix products of this machine; and the seconds of each phase and of what is in none of them.
        """
        seconds = self._seconds
        phases = {f"seconds_{name}": value for name, value in seconds.items()}
        phases["seconds_rest"] = time.perf_counter() - self._begin - sum(seconds.values())
        tokens_per_second = self._num_tokens / (seconds["data"] + seconds["step"])
        share_of_peak = self._num_operations / seconds["step"] / self._peak
        self._begin_lap()
        return {"tokens_per_second": tokens_per_second, "share_of_peak": share_of_peak, **phases}


def num_operations(model: ModelConfig, num_windows: int, num_tokens: int, num_logits: int) -> int:
    """Floating-point operations of a step: the matrix products of one pass forward, three times.

    Kaplan et al. 2020, section 2.1, with the output layer counted and half of the attention, which is causal, left out.

    Args:
        model: its sizes.
        num_windows, num_tokens: of the batch, and of a window.
        num_logits: tokens whose loss counts.
    """
    heads = 2 * model.num_heads + 2 * model.key_value_heads  # queries, keys, values, and the output of attention
    feed_forward = (3 if model.activation == "swiglu" else 2) * model.feed_forward_width
    projections = model.width * (heads * model.head_width + feed_forward)
    layers = num_windows * num_tokens * model.num_layers * (projections + model.width * num_tokens)
    return 3 * 2 * (layers + num_logits * model.width * model.vocabulary_size)
