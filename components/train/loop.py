"""The run: step after step, a validation loss at intervals, an entry of history for each step.

In: a model, its step, what it learns from, the checkpoints of earlier attempts. Out: the history. In between: a step
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
from components.model.transformer import Transformer
from components.train.backends import TrainStep
from components.train.checkpoints import Checkpoints
from components.train.config import Optimisation
from components.train.history import VALIDATION, Entry, best_validation_loss
from components.train.kept import Kept
from components.train.lessons import Lessons
from components.train.schedule import learning_rate
from components.train.stopping import interrupted, listening
from components.train.throughput import Stopwatch


def run(
    config: Optimisation,
    model: Transformer,
    step: TrainStep,
    lessons: Lessons,
    live: Live,
    checkpoints: Checkpoints,
    peak: float,
) -> list[Entry]:
    """Take all steps that no checkpoint has; returns an entry for every step from the first.

    ``peak``: what the machine can do at most, in FLOP/s; only told, beside what it does.

    Raises GateError at the first number that is not finite, and Interrupted when asked to stop; whatever happens,
    what the last checkpoint holds is safe.
    """
    kept = Kept(step, model, average_decay=config.average_decay, keeps_best=config.patience_validations > 0)
    history, watch = checkpoints.resume(kept), Stopwatch(model.config, peak)
    with Progress("training", config.num_steps, "steps", len(history)) as progress, listening() as asked_to_stop:
        while len(history) < config.num_steps and not has_stopped_early(config, history):
            entry = take_step(config, kept, lessons, len(history), watch)
            history.append(entry)
            if is_validation_due(config, len(history)):
                with watch.phase("validation"), kept.judged():
                    losses = lessons.measure(model)
                    if losses[VALIDATION] < best_validation_loss(history):
                        kept.remember()
                entry |= losses
            with watch.phase("checkpoint"):
                must_save, must_stop = checkpoints.agree(is_asked_to_stop=asked_to_stop.is_set())
                if must_save:
                    checkpoints.save(kept, history)
                if must_stop:
                    raise interrupted(len(history))
            told = watch.lap()
            live(len(history), {**entry, **told})
            progress.advance(note=_note(entry["loss"], **told))
    kept.finish()
    return history


def take_step(config: Optimisation, step: TrainStep, lessons: Lessons, number: int, watch: Stopwatch) -> Entry:
    """Step ``number``, from 0; its entry counts from 1."""
    rate = learning_rate(number, config)
    with watch.phase("data"):
        batch = lessons.batch(number)
    with watch.phase("step"):
        loss, norm = step(batch.windows, rate, batch.answers)
    watch.count(batch)
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise GateError(
            f"train, step {number + 1}",
            found=f"loss {loss}, gradient of length {norm}",
            expected="finite numbers",
            fix="lower learning_rate or raise warmup_steps in params.yaml; the last checkpoint is kept",
        )
    return {"step": number + 1, "loss": loss, "learning_rate": rate, "gradient_norm": norm}


def is_validation_due(config: Optimisation, num_done: int) -> bool:
    """Whether the validation loss is measured after so many steps."""
    return num_done % config.validation_interval_steps == 0 or num_done == config.num_steps


def has_stopped_early(config: Optimisation, history: Sequence[Entry]) -> bool:
    """Whether the last ``patience_validations`` validation losses were no better than the best before them."""
    losses = [entry[VALIDATION] for entry in history if VALIDATION in entry]
    patience = config.patience_validations
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def _note(loss: float, tokens_per_second: float, share_of_peak: float, **_: float) -> str:
    return f"loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s, {share_of_peak:.0%} of peak"
