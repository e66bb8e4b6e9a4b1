"""The page of a run: what was trained, and how its loss went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from components.core.pages import Figure, Html, figures, page, paragraph, section
from components.core.plots import Point, line_chart
from components.train.config import FinetuneConfig, TrainConfig
from components.train.history import VALIDATION, Entry

if TYPE_CHECKING:
    from components.train.runs import Finished


def render(config: TrainConfig, done: Finished) -> bytes:
    """The page of a finished training; equal runs give equal bytes."""
    history, model = done.history, config.model
    num_steps, num_tokens = len(history), len(history) * config.batch_windows * model.context_tokens
    summary = figures(
        Figure("validation loss", history[-1][VALIDATION], "nats per token, held-out windows"),
        Figure("training loss", history[-1]["loss"], "nats per token, last step"),
        Figure("parameters", done.model.count_params()),
        Figure("tokens seen", num_tokens, f"{num_steps} steps of {config.batch_windows} windows"),
    )
    losses = {"training": _points(history, "loss"), "validation": _points(history, VALIDATION)}
    lead = (
        f"{model.num_layers} layers, width {model.width}, {model.num_heads} heads, "
        f"context of {model.context_tokens} tokens, seed {config.seed}"
    )
    return page("Training", summary, *_curves(losses, done, "train"), lead=lead)


def render_finetuning(name: str, config: FinetuneConfig, done: Finished) -> bytes:
    """The page of a finished fine-tuning; the losses are those of answers."""
    history, kind = done.history, "low-rank adapters" if config.method == "lora" else "all of the model"
    summary = figures(
        Figure("validation loss", history[-1][VALIDATION], "nats per token of the answers, mean of the applications"),
        Figure("training loss", history[-1]["loss"], "last step"),
        Figure("parameters trained", done.num_trained, kind),
        Figure("steps", len(history), f"of about {config.batch_tokens:,} tokens"),
    )
    losses = {"training": _points(history, "loss"), "validation": _points(history, VALIDATION)}
    if len(config.applications) > 1:
        losses |= {application: _points(history, f"{VALIDATION}_{application}") for application in config.applications}
    told = ", ".join(f"{application} × {weight:g}" for application, weight in config.applications.items())
    curves = _curves(losses, done, f"finetune@{name}")
    return page(f"Fine-tuning: {name}", summary, *curves, lead=f"{told}; seed {config.seed}")


def _curves(losses: Mapping[str, Sequence[Point]], done: Finished, stage: str) -> list[Html]:
    rate, norm = _points(done.history, "learning_rate"), _points(done.history, "gradient_norm")
    return [
        section("Loss", line_chart("Loss by step", losses, x="step", y="nats per token")),
        section(
            "Optimizer",
            line_chart("Learning rate", {"learning rate": rate}, x="step", y="rate"),
            line_chart("Gradient", {"before clipping": norm}, x="step", y="length"),
        ),
        paragraph("Matrix products ran in ", done.compute_type, "; weights and sums are float32."),
        paragraph(
            "Where the time went is no part of this page, which is the same wherever the model is made: the run "
            f"leaves it in the workspace, in .pedigree/times/{stage}.html."
        ),
    ]


def _points(history: Sequence[Entry], key: str) -> list[Point]:
    return [(entry["step"], entry[key]) for entry in history if key in entry]
