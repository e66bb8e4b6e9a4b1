"""The page of a run: what was trained, and how its loss went."""

from __future__ import annotations

from collections.abc import Sequence

from components.core.pages import Figure, figures, page, paragraph, section
from components.core.plots import line_chart
from components.train.config import TrainConfig
from components.train.history import Entry


def render(config: TrainConfig, num_parameters: int, compute_type: str, history: Sequence[Entry]) -> bytes:
    """The page of a finished run; equal runs give equal bytes."""
    last, num_tokens = history[-1], len(history) * config.batch_windows * config.model.context_tokens
    summary = figures(
        Figure("validation loss", last["validation_loss"], "nats per token, held-out windows"),
        Figure("training loss", last["loss"], "nats per token, last step"),
        Figure("parameters", num_parameters),
        Figure("tokens seen", num_tokens, f"{len(history)} steps of {config.batch_windows} windows"),
    )
    losses = {"training": _points(history, "loss"), "validation": _points(history, "validation_loss")}
    return page(
        "Training",
        summary,
        section("Loss", line_chart("Loss by step", losses, x="step", y="nats per token")),
        section(
            "Optimizer",
            line_chart("Learning rate", {"learning rate": _points(history, "learning_rate")}, x="step", y="rate"),
            line_chart("Gradient", {"before clipping": _points(history, "gradient_norm")}, x="step", y="length"),
        ),
        paragraph("Matrix products ran in ", compute_type, "; weights and sums are float32."),
        paragraph(
            "Where the time went is no part of this page, which is the same wherever the model is made: the run "
            "leaves it in the workspace, in .pedigree/times/train.html."
        ),
        lead=f"{config.model.num_layers} layers, width {config.model.width}, {config.model.num_heads} heads, "
        f"context of {config.model.context_tokens} tokens, seed {config.seed}",
    )


def _points(history: Sequence[Entry], key: str) -> list[tuple[float, float]]:
    return [(entry["step"], entry[key]) for entry in history if key in entry]
