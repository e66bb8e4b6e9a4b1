"""The stage ``train``: packed tokens → a model.

In: the windows of pack and what their validation set aside. Out: ``weights.safetensors`` and ``model.json``,
``history.jsonl`` with an entry per step, ``processor.json``, ``page.html``. In between: every refusal comes before the
first step, equal inputs give equal bytes on processors of one kind, and an attempt that was stopped goes on from its
last checkpoint with the bits of one that never was.
"""

from __future__ import annotations

from pathlib import Path

from components.core.stage import Attempt, Books, Live, Report
from components.train.config import TrainConfig


def train(config: TrainConfig, *, tokens: Path, checks: Path, output: Path, live: Live, attempt: Attempt) -> Report:
    """Train a model, from its first weights or from where an earlier attempt had come to.

    Raises ParamsError or InputError when tokens and config do not fit, GateError when the loss is no number any more,
    Interrupted when asked to stop.
    """
    from components.core.files import write_whole
    from components.model.backends import settle_backend
    from components.train.circumstances import read_circumstances
    from components.train.data import open_data

    where = read_circumstances()
    data = open_data(config, tokens, checks)

    # These import Keras and its backend, which takes seconds: not before there is something to do.
    settle_backend(config.backend)
    from components.model.transformer import ComputeType, Transformer
    from components.model.weights import save_model
    from components.train.lessons import WindowLessons
    from components.train.page import render
    from components.train.runs import perform

    def make(compute_type: ComputeType) -> Transformer:
        return Transformer(config.model, seed=config.seed, compute_type=compute_type)

    done = perform(config, config.model, make, WindowLessons(config, data), where, live, attempt)
    save_model(done.model, output)
    done.save(output)
    write_whole(output / "page.html", render(config, done))
    num_windows = len(done.history) * config.batch_windows
    metrics = {
        "loss": done.history[-1]["loss"],
        "validation_loss": done.validation_loss,
        "num_parameters": done.model.count_params(),
        "num_tokens": num_windows * config.model.context_tokens,
        "num_epochs": num_windows / len(data.train),
    }
    dropped = {"with a quarantined document": data.num_windows - data.num_usable}
    return Report(metrics=metrics, books=Books(received=data.num_windows, kept=data.num_usable, dropped=dropped))
