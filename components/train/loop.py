"""The run: step after step, a validation loss at intervals, an entry of history for each step.

In: a model, its step, windows of two splits. Out: the history. In between: a number that is not finite stops the
run; times are told to whoever watches and kept nowhere.
"""

from __future__ import annotations

import math
import time

from components.core.errors import GateError
from components.core.progress import Progress
from components.core.stage import Live
from components.model.scoring import token_losses
from components.model.transformer import Transformer
from components.train.backends import TrainStep
from components.train.config import TrainConfig
from components.train.data import Data, Windows
from components.train.schedule import learning_rate, validation_windows, windows_of_step

# Keys: step (from 1), loss and validation_loss (nats per token), learning_rate, gradient_norm.
Entry = dict[str, float]


def run(config: TrainConfig, model: Transformer, step: TrainStep, data: Data, live: Live) -> list[Entry]:
    """Take all steps; returns one entry each. Raises GateError at the first number that is not finite."""
    history = []
    with Progress("training", total=config.num_steps, unit="steps") as progress:
        for number in range(config.num_steps):
            started = time.monotonic()
            entry = take_step(config, step, data.train, number)
            speed = config.batch_windows * config.model.context_tokens / (time.monotonic() - started)
            if (number + 1) % config.validation_interval_steps == 0 or number + 1 == config.num_steps:
                entry["validation_loss"] = validation_loss(config, model, data.validation)
            history.append(entry)
            live(number + 1, {**entry, "tokens_per_second": speed})
            progress.advance(note=f"loss {entry['loss']:.3f}, {speed:,.0f} tokens/s")
    return history


def take_step(config: TrainConfig, step: TrainStep, train: Windows, number: int) -> Entry:
    """Step ``number``, from 0; its entry counts from 1."""
    numbers = windows_of_step(number, seed=config.seed, batch_windows=config.batch_windows, num_windows=len(train))
    rate = learning_rate(number, config)
    loss, norm = step(train.read(numbers), rate)
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise GateError(
            f"train, step {number + 1}",
            found=f"loss {loss}, gradient of length {norm}",
            expected="finite numbers",
            fix="lower train.learning_rate or raise train.warmup_steps in params.yaml",
        )
    return {"step": number + 1, "loss": loss, "learning_rate": rate, "gradient_norm": norm}


def validation_loss(config: TrainConfig, model: Transformer, validation: Windows) -> float:
    """Mean nats per token over windows that are the same each time."""
    numbers = validation_windows(config.validation_windows, len(validation))
    return float(token_losses(model, validation.read(numbers)).mean(dtype="float64"))
