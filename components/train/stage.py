"""The stage ``train``: packed tokens → a model.

In: the windows of pack and what their validation set aside. Out: ``weights.safetensors`` and ``model.json``,
``history.jsonl`` with an entry per step, ``processor.json``, ``page.html``. In between: every refusal comes before the
first step, equal inputs give equal bytes on processors of one kind, and an attempt that was stopped goes on from its
last checkpoint with the bits of one that never was.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from components.core.errors import ParamsError
from components.core.stage import Attempt, Books, Live, Report
from components.train.config import TrainConfig

# By this variable a user says how often checkpoints are saved; 0 is after each step.
CHECKPOINT_SECONDS = "PEDIGREE_CHECKPOINT_SECONDS"


def train(config: TrainConfig, *, tokens: Path, checks: Path, output: Path, live: Live, attempt: Attempt) -> Report:
    """Train a model, from its first weights or from where an earlier attempt had come to.

    Raises ParamsError or InputError when tokens and config do not fit, GateError when the loss is no number any more,
    Interrupted when asked to stop.
    """
    from components.core.files import write_json, write_whole
    from components.model.backends import settle_backend
    from components.train.cluster import read_placement
    from components.train.data import open_data
    from components.train.processor import processor_flags, processor_kind, resolve_compute_type
    from components.train.room import check_room

    interval_seconds, placement = _checkpoint_seconds(), read_placement(os.environ)
    data = open_data(config, tokens, checks)

    # These import Keras and its backend, which takes seconds: not before there is something to do.
    settle_backend(config.backend)
    from components.model.transformer import Transformer
    from components.model.weights import save_model
    from components.train.backends import backend
    from components.train.checkpoints import Checkpoints
    from components.train.history import best_validation_loss, to_lines
    from components.train.lessons import WindowLessons
    from components.train.loop import run
    from components.train.page import render

    by = backend(config.backend)
    devices = by.open_devices(placement)
    shape = config.batch_windows, config.model.context_tokens + 1
    devices.check_batch(shape, config.num_accumulations)
    compute_type = resolve_compute_type(config.compute_type, processor_flags(), is_gpu=devices.is_gpu)
    if not devices.is_gpu:
        check_room(config, config.model, shape, compute_type)
    model = Transformer(config.model, seed=config.seed, compute_type=compute_type)
    step = by.make_step(config, model, devices)
    kind = {**processor_kind(), "device": devices.kind, "compute_type": compute_type}
    work = Attempt(attempt.folder, {**attempt.identity, "processor": kind})
    checkpoints = Checkpoints(
        work, batch_windows=config.batch_windows, interval_seconds=interval_seconds, devices=devices
    )
    peak = by.measure_peak(compute_type, len(os.sched_getaffinity(0)))
    history = run(config, model, step, WindowLessons(config, data), live, checkpoints, peak)
    save_model(model, output)
    write_json(output / "processor.json", kind)
    write_whole(output / "history.jsonl", to_lines(history))
    write_whole(output / "page.html", render(config, model.count_params(), compute_type, history))
    num_windows = len(history) * config.batch_windows
    metrics = {
        "loss": history[-1]["loss"],
        "validation_loss": best_validation_loss(history if config.patience_validations else history[-1:]),
        "num_parameters": model.count_params(),
        "num_tokens": num_windows * config.model.context_tokens,
        "num_epochs": num_windows / len(data.train),
    }
    dropped = {"with a quarantined document": data.num_windows - data.num_usable}
    return Report(metrics=metrics, books=Books(received=data.num_windows, kept=data.num_usable, dropped=dropped))


def _checkpoint_seconds() -> float:
    told = os.environ.get(CHECKPOINT_SECONDS, "60")
    try:
        seconds = float(told)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        fix, expected = f"export {CHECKPOINT_SECONDS}=60", "seconds between checkpoints, 0 or more"
        raise ParamsError(f"the variable {CHECKPOINT_SECONDS}", found=told, expected=expected, fix=fix)
    return seconds
