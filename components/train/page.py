"""The page of a run: what was trained, and how its loss went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.core.pages import Figure, Html, figures, page, paragraph, section
from components.core.plots import Point, line_chart
from components.train.config import FinetuneConfig, TrainConfig
from components.train.history import VALIDATION, Entry


def render(config: TrainConfig, num_parameters: int, compute_type: str, history: Sequence[Entry]) -> bytes:
    """The page of a finished run; equal runs give equal bytes."""
    last, num_tokens = history[-1], len(history) * config.batch_windows * config.model.context_tokens
    summary = figures(
        Figure("validation loss", last[VALIDATION], "nats per token, held-out windows"),
        Figure("training loss", last["loss"], "nats per token, last step"),
        Figure("parameters", num_parameters),
        Figure("tokens seen", num_tokens, f"{len(history)} steps of {config.batch_windows} windows"),
    )
    losses = {"training": _points(history, "loss"), "validation": _points(history, VALIDATION)}
    return page(
        "Training", summary, *_curves(losses, history, compute_type, "train"),
        lead=f"{config.model.num_layers} layers, width {config.model.width}, {config.model.num_heads} heads, "
        f"context of {config.model.context_tokens} tokens, seed {config.seed}",
    )  # fmt: skip


def render_finetuning(config: FinetuneConfig, num_trained: int, compute_type: str, history: Sequence[Entry]) -> bytes:
    """The page of a finished fine-tuning; the losses are those of answers."""
    last, kind = history[-1], "low-rank adapters" if config.method == "lora" else "all of the model"
    summary = figures(
        Figure("validation loss", last[VALIDATION], "nats per token of the answers, mean of the applications"),
        Figure("training loss", last["loss"], "last step"),
        Figure("parameters trained", num_trained, kind),
        Figure("steps", len(history), f"of about {config.batch_tokens:,} tokens"),
    )
    losses = {"training": _points(history, "loss"), "validation": _points(history, VALIDATION)}
    if len(config.applications) > 1:
        losses |= {name: _points(history, f"{VALIDATION}_{name}") for name in config.applications}
    told = ", ".join(f"{name} × {weight:g}" for name, weight in config.applications.items())
    return page(
        "Fine-tuning", summary, *_curves(losses, history, compute_type, "finetune"),
        lead=f"{told}; seed {config.seed}",
    )  # fmt: skip


def _curves(
    losses: Mapping[str, Sequence[Point]], history: Sequence[Entry], compute_type: str, stage: str
) -> list[Html]:
    rate, norm = _points(history, "learning_rate"), _points(history, "gradient_norm")
    return [
        section("Loss", line_chart("Loss by step", losses, x="step", y="nats per token")),
        section(
            "Optimizer",
            line_chart("Learning rate", {"learning rate": rate}, x="step", y="rate"),
            line_chart("Gradient", {"before clipping": norm}, x="step", y="length"),
        ),
        paragraph("Matrix products ran in ", compute_type, "; weights and sums are float32."),
        paragraph(
            "Where the time went is no part of this page, which is the same wherever the model is made: the run "
            f"leaves it in the workspace, in .pedigree/times/{stage}.html."
        ),
    ]


def _points(history: Sequence[Entry], key: str) -> list[Point]:
    return [(entry["step"], entry[key]) for entry in history if key in entry]
