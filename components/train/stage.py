"""The stage ``train``: packed tokens → a model.

In: the windows of pack and what their validation set aside. Out: ``weights.safetensors`` and ``model.json``,
``history.jsonl`` with an entry per step, ``page.html``. In between: every refusal comes before the first step, and
equal inputs give equal bytes on processors of one kind.
"""

from __future__ import annotations

import json
from pathlib import Path

from components.core.stage import Books, Live, Report
from components.train.config import TrainConfig


def train(config: TrainConfig, *, tokens: Path, checks: Path, output: Path, live: Live) -> Report:
    """Train a model from its first weights.

    Raises ParamsError or InputError when tokens and config do not fit, GateError when the loss is no number any more.
    """
    from components.core.files import write_whole
    from components.train.data import open_data
    from components.train.processor import processor_flags, resolve_compute_type

    data = open_data(config, tokens, checks)
    compute_type = resolve_compute_type(config.compute_type, processor_flags())

    # These import Keras and its backend, which takes seconds: not before there is something to do.
    from components.model.transformer import Transformer
    from components.model.weights import save_model
    from components.train.backends.tensorflow import TensorFlowStep
    from components.train.loop import run
    from components.train.page import render

    model = Transformer(config.model, seed=config.seed, compute_type=compute_type)
    step = TensorFlowStep(model, weight_decay=config.weight_decay, clip_norm=config.clip_norm)
    history = run(config, model, step, data, live)
    save_model(model, output)
    lines = (json.dumps(entry, sort_keys=True) + "\n" for entry in history)
    write_whole(output / "history.jsonl", "".join(lines).encode())
    write_whole(output / "page.html", render(config, model.count_params(), compute_type, history))
    num_windows = len(history) * config.batch_windows
    metrics = {
        "loss": history[-1]["loss"],
        "validation_loss": history[-1]["validation_loss"],
        "num_parameters": model.count_params(),
        "num_tokens": num_windows * config.model.context_tokens,
        "num_epochs": num_windows / len(data.train),
    }
    dropped = {"with a quarantined document": data.num_windows - data.num_usable}
    return Report(metrics=metrics, books=Books(received=data.num_windows, kept=data.num_usable, dropped=dropped))
