"""The history of a run: an entry for each step, as JSON lines.

In: entries. Out: their lines, and back. In between: a number comes back with the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

VALIDATION = "validation_loss"
# Keys: step (from 1), loss and validation_loss (nats per token), learning_rate, gradient_norm; of a fine-tuning also
# validation_loss_APPLICATION.
Entry = dict[str, float]


def to_lines(history: Sequence[Entry]) -> bytes:
    """A line for each entry."""
    return "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in history).encode()


def from_lines(data: bytes) -> list[Entry]:
    """The entries of ``to_lines``."""
    return [json.loads(line) for line in data.splitlines()]


def best_validation_loss(history: Sequence[Entry]) -> float:
    """The lowest validation loss so far; infinity before the first."""
    return min((entry[VALIDATION] for entry in history if VALIDATION in entry), default=float("inf"))
