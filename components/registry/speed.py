"""How fast a version writes with float32 weights and with weights of one byte, measured when a verdict is made.

In: the folder of a model whose bytes were checked. Out: processor seconds of turns, in pairs. In between: one text on
one thread, the likeliest token each time. Both take short turns of equally many tokens, and who begins changes from
pair to pair, so that what disturbs the machine disturbs both. A neighbour who takes the processor away does not count;
one who fills the cache does.

No artifact may hold a time, so this stands on the verdict's page, in the ledger and in MLflow (decision 0076).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.registry.comparison import Metric, Settings

if TYPE_CHECKING:
    from components.model.decoding import Decoder

INT8_TIME = "int8_time"
_SECONDS, _SECONDS_OF_A_TURN, _LEAST_PAIRS, _MOST_PAIRS = 1.5, 0.02, 5, 50


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        num_tokens: of every turn.
        float32_seconds, int8_seconds: of the processor, for each turn; those of one place belong together.
    """

    num_tokens: int
    float32_seconds: tuple[float, ...]
    int8_seconds: tuple[float, ...]

    @property
    def metric(self) -> Metric:
        """Seconds with int8 over seconds with float32, a row per pair of turns."""
        names = tuple(f"turns {number:02}" for number in range(len(self.int8_seconds)))
        times = np.array(self.int8_seconds), np.array(self.float32_seconds)
        return Metric(INT8_TIME, names, names, ((),) * len(names), *times)

    @property
    def tokens_per_second(self) -> dict[str, float]:
        """By the kind of weights."""
        return {kind: self.num_tokens * len(turns) / sum(turns)
                for kind, turns in (("float32", self.float32_seconds), ("int8", self.int8_seconds))}  # fmt: skip

    def line(self, settings: Settings) -> str:
        """All of it in a line."""
        rates = self.tokens_per_second
        return (
            f"measured here: {rates['float32']:,.0f} tokens/s of one text with float32 weights, {rates['int8']:,.0f} "
            f"with int8, which takes {self.metric.in_words(settings)} of the time"
        )

    def as_json(self, settings: Settings) -> dict[str, Any]:
        """Everything, as the ledger keeps it."""
        found = self.metric.estimate(settings)
        rates = {f"{kind}_tokens_per_second": rate for kind, rate in self.tokens_per_second.items()}
        return {**rates, INT8_TIME: found and found._asdict(), "num_tokens": self.num_tokens}


def measure(model: Path) -> Speed:
    """Let a model write for a second or two. Raises InputError for a model that cannot be loaded."""
    from components.model.decoding import Decoder, load_weights

    plain, small = (Decoder(*load_weights(model, one_byte=one_byte), num_slots=1) for one_byte in (False, True))
    num_tokens = _tokens_of_a_turn(plain)
    _write(small, num_tokens)  # what is first is slow
    pairs, end = list[tuple[float, float]](), time.perf_counter() + _SECONDS
    while len(pairs) < _LEAST_PAIRS or (len(pairs) < _MOST_PAIRS and time.perf_counter() < end):
        order = (plain, small) if len(pairs) % 2 else (small, plain)
        seconds = {decoder: _write(decoder, num_tokens) for decoder in order}
        pairs.append((seconds[plain], seconds[small]))
    return Speed(num_tokens, *zip(*pairs, strict=True))


def _tokens_of_a_turn(decoder: Decoder) -> int:
    """As many as are written in about the seconds of a turn, within the context."""
    num_tokens = 1
    while 2 * num_tokens <= decoder.config.context_tokens and _write(decoder, num_tokens) < _SECONDS_OF_A_TURN / 2:
        num_tokens *= 2
    return num_tokens


def _write(decoder: Decoder, num_tokens: int) -> float:
    """Processor seconds of this thread for so many tokens from the beginning of a text on."""
    from components.model.decoding import Choice

    decoder.open(0, Choice(temperature=0))
    began = time.thread_time()
    decoder.write([0], [0], [0], np.zeros((num_tokens, 1)))
    return time.thread_time() - began
