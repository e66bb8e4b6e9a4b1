"""A tiny world for ``train``: packed sentences and checks that set one document of the training split aside."""

from pathlib import Path
from typing import Any

from components.pack import PackConfig, pack
from tests.components.pack.world import write_checks, write_tokenizer
from tests.components.tokenizer.world import make_rows, write_corpus

CONTEXT = 16
MODEL = {"vocabulary_size": 300, "context_tokens": CONTEXT, "width": 16, "num_layers": 1, "num_heads": 2,
         "feed_forward_width": 32}  # fmt: skip
CONFIG: dict[str, Any] = {
    "model": MODEL, "num_steps": 5, "batch_windows": 3, "learning_rate": 0.01, "final_learning_rate": 0.001,
    "warmup_steps": 2, "validation_interval_steps": 2, "validation_windows": 3, "compute_type": "float32",
}  # fmt: skip


def write_tokens(folder: Path, rows: list[tuple[str, str]]) -> Path:
    """Pack ``rows`` of (split, text), none of them quarantined."""
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    inputs = {
        "corpus": write_corpus(folder / "corpus", rows),
        "checks": write_checks(folder / "corpus-checks"),
        "tokenizer": write_tokenizer(folder / "tokenizer", make_rows()),
    }
    pack(PackConfig(context_tokens=CONTEXT), **inputs, output=tokens)
    return tokens


def make_world(folder: Path) -> dict[str, Path]:
    """Write tokens and checks."""
    from components.core.tokens import TokenSplit

    tokens = write_tokens(folder, make_rows(80))
    aside = TokenSplit.open(tokens, "train").documents().column("doc_id")[5].as_py()
    return {"tokens": tokens, "checks": write_checks(folder / "checks", aside)}
