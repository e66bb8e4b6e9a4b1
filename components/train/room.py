"""Whether the memory of this machine is enough for a training, told before its first step.

In: the sizes of a model, the shape of a batch. Out: an estimate in bytes, or a refusal. In between: arithmetic alone,
so that sizes that do not fit cost no memory. The estimate counts what a step in TensorFlow holds at its peak, all
pieces of a batch at once; it came to 0.9 to 1.5 of what was measured. Graphics cards have memory of their own, which
is not counted here.
"""

from __future__ import annotations

import math
from pathlib import Path

from components.core.errors import WorkspaceError
from components.model import ModelConfig
from components.model.weights import weight_shapes
from components.train.config import Optimisation

_MEMORY, _GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
# Graphs, compiled pieces and the tokens that are mapped; the libraries are in memory when this is asked.
_BASE_BYTES = 100_000_000
_LOGITS_AT_ONCE = 1024
# Of each weight: itself, the sum of its gradients, both moments, and two gradients that are not added up yet.
_COPIES = 6
# While a checkpoint is saved: weights and moments once as arrays and once as bytes.
_COPIES_TO_SAVE = 6
_WIDE = 4  # bytes of a float32


def check_room(config: Optimisation, model: ModelConfig, shape: tuple[int, int], compute_type: str) -> None:
    """Raises WorkspaceError when steps on batches of ``shape`` [B, T + 1] need more memory than there is."""
    part = shape[0] // config.num_accumulations, shape[1]
    num_kept = (config.average_decay > 0) + (config.patience_validations > 0)
    needed, there = needed_bytes(model, part, compute_type, num_kept=num_kept), available_bytes()
    if needed > there:
        raise WorkspaceError(
            "train, before the first step",
            found=f"{there / 1e9:,.1f} GB of memory left",
            expected=f"about {needed / 1e9:,.1f} GB for {num_parameters(model):,} parameters and "
            f"{part[0] * (part[1] - 1):,} tokens at once",
            fix="raise num_accumulations, or lower the size of batches or of the model in params.yaml",
        )


def needed_bytes(model: ModelConfig, shape: tuple[int, int], compute_type: str, *, num_kept: int = 0) -> int:
    """What a training holds at its peak, about, that takes windows of ``shape`` [B, T + 1] at once.

    ``num_kept``: how often weights are kept beside the last ones.
    """
    narrow, num_weights = (2 if compute_type == "bfloat16" else 4), num_parameters(model)
    num_tokens, context = shape[0] * (shape[1] - 1), shape[1] - 1
    states = _WIDE * num_weights * (_COPIES + _COPIES_TO_SAVE + 3 * num_kept)
    activations = num_tokens * model.num_layers * bytes_of_a_token(model, context, narrow)
    logits = min(num_tokens, _LOGITS_AT_ONCE) * model.vocabulary_size * (2 * narrow + _WIDE)
    pulls = math.ceil(num_tokens / _LOGITS_AT_ONCE) * model.vocabulary_size * model.width * narrow
    return _BASE_BYTES + states + activations + logits + pulls


def bytes_of_a_token(model: ModelConfig, context: int, narrow: int) -> int:
    """What a block keeps of a token until its gradient is known: the residual stream twice, and of ``narrow`` bytes
    each both normed states, the projections before and after their division among the heads, the probabilities of
    half the context, what the heads found, and both sides of the feed-forward's activation."""
    width, inner = model.width, model.feed_forward_width * (3 if model.activation == "swiglu" else 2)
    return 2 * _WIDE * width + narrow * (10 * width + model.num_heads * context // 2 + inner)


def num_parameters(model: ModelConfig) -> int:
    """Numbers in all weights."""
    return sum(math.prod(shape) for shape in weight_shapes(model).values())


def available_bytes(memory: Path = _MEMORY, group: Path = _GROUP) -> int:
    """Memory that can still be had: of the machine, and within the limit of the control group, where there is one."""
    told = dict(line.split(":", 1) for line in memory.read_text().splitlines())
    of_machine = int(told["MemAvailable"].split()[0]) * 1024
    limit, used = (_number(group / f"memory.{name}") for name in ("max", "current"))
    return of_machine if limit is None or used is None else min(of_machine, limit - used + _reclaimable(group))


def _number(path: Path) -> int | None:
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdigit() else None


def _reclaimable(group: Path) -> int:
    """Pages of files that the kernel keeps for as long as nobody needs the memory."""
    stat = group / "memory.stat"
    told = dict(line.split() for line in stat.read_text().splitlines()) if stat.exists() else {}
    return int(told.get("inactive_file", 0))
