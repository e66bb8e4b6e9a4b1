"""The stage ``finetune@NAME``: a trained model learns to answer, from the examples of one application or several.

In: a model, its tokenizer, examples and what their checks set aside. Out: as of ``train``: ``weights.safetensors`` and
``model.json``, which whoever loads a model can load, ``history.jsonl``, ``processor.json``, ``page.html``; of low-rank
adapters also ``adapter.safetensors`` and ``adapter.json``, which are merged into those weights; and, for serving, what
is asked in each application, ``applications/NAME.json``. In between: as in ``train``; the loss counts the answers and
their ends and nothing of the prompts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import InputError
from components.core.stage import Attempt, Live, Report
from components.train.config import FinetuneConfig

if TYPE_CHECKING:
    from components.model import ModelConfig
    from components.tokenizer.codec import Codec
    from components.train.runs import Finished


def finetune(
    config: FinetuneConfig, *, model: Path, tokenizer: Path, examples: Path, checks: Path, output: Path, live: Live,
    attempt: Attempt, key: str,
) -> Report:  # fmt: skip
    """Fine-tune a model, from its own weights or from where an earlier attempt had come to.

    Raises ParamsError or InputError when inputs and config do not fit, GateError when the loss is no number any more,
    Interrupted when asked to stop.
    """
    from components.core.examples import ASKED_FILE
    from components.core.files import write_whole
    from components.model.backends import settle_backend
    from components.model.weights import build_model, read_config, read_weights, weight_shapes
    from components.tokenizer.codec import Codec
    from components.train.circumstances import read_circumstances
    from components.train.examples import read_all

    where, parent, codec = read_circumstances(), read_config(model), Codec.load(tokenizer)
    _check_vocabulary(parent, codec, tokenizer)
    found = read_all(tuple(config.applications), examples, checks, codec, parent.context_tokens)

    # These import Keras and its backend, which takes seconds: not before there is something to do.
    settle_backend(config.backend)
    from components.model.lora import adapt
    from components.model.transformer import ComputeType, Transformer
    from components.train.example_lessons import plan_lessons
    from components.train.page import render_finetuning
    from components.train.runs import perform

    sizes = parent.model_copy(update={"dropout": config.dropout})

    def make(compute_type: ComputeType) -> Transformer:
        made = build_model(sizes, read_weights(model, weight_shapes(parent)), compute_type)
        if config.method == "lora":
            adapt(made, config.lora, config.seed)
        return made

    lessons = plan_lessons(config, found.train, found.validation, codec, parent.context_tokens)
    done = perform(config, sizes, make, lessons, where, live, attempt)
    _save(config, parent, done, output)
    for name in config.applications:
        write_whole(output / "applications" / f"{name}.json", (examples / name / ASKED_FILE).read_bytes())
    write_whole(output / "page.html", render_finetuning(key, config, done))
    last = done.history[-1]
    metrics = {
        "loss": last["loss"],
        "validation_loss": done.validation_loss,
        "num_trained_parameters": done.num_trained,
        "num_epochs": len(done.history) / lessons.mixture.num_batches,
    }
    return Report(metrics=metrics, books=found.books)


def _save(config: FinetuneConfig, parent: ModelConfig, done: Finished, output: Path) -> None:
    from components.model.lora import merge, save_adapter
    from components.model.weights import save_weights

    weights = done.weights
    if config.method == "lora":
        save_adapter(weights, config.lora, output)
        weights = merge(weights, config.lora)
    save_weights(parent, weights, output)
    done.save(output)


def _check_vocabulary(parent: ModelConfig, codec: Codec, tokenizer: Path) -> None:
    if codec.vocabulary_size > parent.vocabulary_size:
        raise InputError(
            str(tokenizer), found=f"{codec.vocabulary_size} tokens", expected=f"at most {parent.vocabulary_size}",
            fix="fine-tune a model with the tokenizer that it was trained with",
        )  # fmt: skip
