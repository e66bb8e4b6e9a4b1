"""A tiny world for ``finetune``: a model, two applications that letters can learn, and what their checks set aside."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.core.examples import EXAMPLES, REJECTED, Asked, write_examples
from components.model import ModelConfig
from tests.components.pack.world import write_checks, write_tokenizer
from tests.components.tokenizer.world import make_rows
from tests.components.train.world import MODEL

CONFIG: dict[str, Any] = {
    "applications": {"sort": 1.0, "copy": 1.0}, "num_steps": 6, "batch_tokens": 64, "learning_rate": 0.01,
    "final_learning_rate": 0.001, "warmup_steps": 2, "validation_interval_steps": 2, "validation_examples": 6,
    "compute_type": "float32",
}  # fmt: skip


def make_world(folder: Path) -> dict[str, Path]:
    """Write a model of first weights, a tokenizer, examples of two applications and their checks."""
    random = np.random.default_rng(1)
    words = ["".join(random.choice(list("abcdef"), random.integers(1, 4))) for _ in range(60)]
    splits = ["train" if number % 5 else "validation" for number in range(60)]
    sort = [(split, f"sort {word}:", "".join(sorted(word))) for split, word in zip(splits, words, strict=True)]
    copy = [(split, f"copy {word}:", word) for split, word in zip(splits, words, strict=True)]
    write_application(folder, "sort", sort, aside=["sort-1"])
    write_application(folder, "copy", [*copy, ("train", "copy x:", None)])
    return {**make_base(folder), "examples": folder / "examples", "checks": folder / "checks"}


def make_base(folder: Path, **sizes: int) -> dict[str, Path]:
    """Write a model of first weights and a tokenizer."""
    from components.model.transformer import Transformer
    from components.model.weights import save_model

    (folder / "model").mkdir()
    save_model(Transformer(ModelConfig(**{**MODEL, **sizes}), seed=3), folder / "model")
    return {"model": folder / "model", "tokenizer": write_tokenizer(folder / "tokenizer", make_rows())}


def write_application(folder: Path, name: str, rows: list[Any], aside: list[str] | None = None) -> None:
    """Examples of (split, prompt, answer), and checks that set some of them aside."""
    found = [
        {"example_id": f"{name}-{number}", "split": split, "group": f"group-{number}", "prompt": prompt,
         "request": "{}", "answer": answer, "references": [answer] if answer else [], "choices": [],
         "source": "letters", "licence": "CC0-1.0", "language": None, "expectations": []}
        for number, (split, prompt, answer) in enumerate(rows)
    ]  # fmt: skip
    (folder / "examples" / name).mkdir(parents=True)
    asked = Asked(application=name, decoding="write", choices=[], example={})
    write_examples(folder / "examples" / name, pa.Table.from_pylist(found, EXAMPLES), REJECTED.empty_table(), asked)
    write_checks(folder / "checks" / name, *(aside or []))
