"""The run: step after step, a validation loss at intervals, an entry of history for each step.

In: a model, its step, windows of two splits, the checkpoints of earlier attempts. Out: the history. In between: a step
depends on its number and on the state before it alone, so a run that was stopped goes on from a checkpoint with the
same bits; a number that is not finite stops the run before it can reach a checkpoint; times are told to whoever
watches and kept nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from components.core.errors import GateError
from components.core.progress import Progress
from components.core.stage import Live
from components.model.scoring import token_losses
from components.model.transformer import Transformer
from components.train.backends import TrainStep
from components.train.best import BestKept
from components.train.checkpoints import Checkpoints
from components.train.config import TrainConfig
from components.train.data import Data, Windows
from components.train.history import Entry, best_validation_loss
from components.train.schedule import learning_rate, validation_windows, windows_of_step
from components.train.stopping import interrupted, listening
from components.train.throughput import Stopwatch


def run(
    config: TrainConfig,
    model: Transformer,
    step: TrainStep,
    data: Data,
    live: Live,
    checkpoints: Checkpoints,
    peak: float,
) -> list[Entry]:
    """Take all steps that no checkpoint has; returns an entry for every step from the first.

    ``peak``: what the machine can do at most, in FLOP/s; only told, beside what it does.

    Raises GateError at the first number that is not finite, and Interrupted when asked to stop; whatever happens,
    what the last checkpoint holds is safe.
    """
    step = BestKept(step) if config.patience_validations else step
    history = checkpoints.resume(step)
    with Progress("training", config.num_steps, "steps", len(history)) as progress, listening() as asked_to_stop:
        while len(history) < config.num_steps and not has_stopped_early(config, history):
            watch = Stopwatch(config, peak)
            entry = take_step(config, step, data.train, len(history), watch)
            history.append(entry)
            if is_validation_due(config, len(history)):
                with watch.phase("validation"):
                    loss = validation_loss(config, model, data.validation)
                if isinstance(step, BestKept) and loss < best_validation_loss(history):
                    step.remember()
                entry["validation_loss"] = loss
            with watch.phase("checkpoint"):
                must_save, must_stop = checkpoints.agree(is_asked_to_stop=asked_to_stop.is_set())
                if must_save:
                    checkpoints.save(step, history)
                if must_stop:
                    raise interrupted(len(history))
            live(len(history), {**entry, **watch.figures()})
            progress.advance(note=f"loss {entry['loss']:.3f}, {watch.sentence()}")
    if isinstance(step, BestKept):
        step.put_back()
    return history


def take_step(config: TrainConfig, step: TrainStep, train: Windows, number: int, watch: Stopwatch) -> Entry:
    """Step ``number``, from 0; its entry counts from 1."""
    numbers = windows_of_step(number, seed=config.seed, batch_windows=config.batch_windows, num_windows=len(train))
    rate = learning_rate(number, config)
    with watch.phase("data"):
        windows = train.read(numbers)
    with watch.phase("step"):
        loss, norm = step(windows, rate)
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise GateError(
            f"train, step {number + 1}",
            found=f"loss {loss}, gradient of length {norm}",
            expected="finite numbers",
            fix="lower train.learning_rate or raise train.warmup_steps in params.yaml; the last checkpoint is kept",
        )
    return {"step": number + 1, "loss": loss, "learning_rate": rate, "gradient_norm": norm}


def is_validation_due(config: TrainConfig, num_done: int) -> bool:
    """Whether the validation loss is measured after so many steps."""
    return num_done % config.validation_interval_steps == 0 or num_done == config.num_steps


def has_stopped_early(config: TrainConfig, history: Sequence[Entry]) -> bool:
    """Whether the last ``patience_validations`` validation losses were no better than the best before them."""
    losses = [entry["validation_loss"] for entry in history if "validation_loss" in entry]
    patience = config.patience_validations
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def validation_loss(config: TrainConfig, model: Transformer, validation: Windows) -> float:
    """Mean nats per token over windows that are the same each time."""
    numbers = validation_windows(config.validation_windows, len(validation))
    return float(token_losses(model, validation.read(numbers)).mean(dtype="float64"))
