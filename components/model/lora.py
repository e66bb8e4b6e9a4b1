"""Low-rank adapters (Hu et al. 2021): a model learns more, and only two narrow matrices beside each kernel change.

In: a trained model. Out: the same with A [in, r] and B [r, out] beside the kernels of some projections; the adapter as
two files; the weights with the adapter in them. In between: a projection computes x W + (α / r) x A B (section 4.1,
equation 3); W and all else stay as they are. B begins at 0, so an adapted model begins as the model that it was made
from. Merged, W + (α / r) A B takes the place of W, and the model is as small and as fast as before.

    adapter.json           the numbers of class Lora
    adapter.safetensors    A and B of each adapted projection, such as block_0.query_key_value.lora_a
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, ValidationError

from components.core.errors import InputError
from components.core.files import write_json, write_whole
from components.core.stage import Config
from components.model.config import ModelConfig
from components.model.weights import Arrays, Shapes, read_weights, to_bytes, weight_shapes

if TYPE_CHECKING:
    from components.model.transformer import Transformer

CONFIG, WEIGHTS = "adapter.json", "adapter.safetensors"
ProjectionName = Literal["query_key_value", "attention_output", "feed_forward_in", "feed_forward_out"]


class Lora(Config):
    """Which projections are adapted, and how."""

    rank: int = Field(default=8, ge=1, le=4096, description="columns of A and rows of B")
    alpha: float = Field(default=16.0, gt=0, le=65_536, description="A · B counts alpha / rank times")
    projections: tuple[ProjectionName, ...] = Field(
        default=("query_key_value", "attention_output", "feed_forward_in", "feed_forward_out"), min_length=1,
        description="of every block, which kernels get an adapter",
    )  # fmt: skip

    @property
    def scale(self) -> float:
        """What A · B is multiplied by."""
        return self.alpha / self.rank


def adapt(model: Transformer, lora: Lora, seed: int) -> None:
    """Freeze a model and put adapters beside its kernels: A from a normal distribution, B zero."""
    random = np.random.default_rng(seed)
    for weight in model.named_weights.values():
        weight.trainable = False
    for block in model.blocks:
        for projection in block.projections:
            if projection.name in lora.projections:
                projection.adapt(lora.rank, lora.scale)
                shape = projection.lora_a.shape
                projection.lora_a.assign((random.standard_normal(shape) * shape[0] ** -0.5).astype(np.float32))


def merge(weights: Arrays, lora: Lora) -> Arrays:
    """The weights of a plain model that computes what the adapted one of these ``weights`` does."""
    merged = dict(weights)
    for name in [name for name in weights if name.endswith(".lora_a")]:
        projection = name.removesuffix(".lora_a")
        a, b = (merged.pop(f"{projection}.{part}").astype(np.float64) for part in ("lora_a", "lora_b"))
        kernel = merged[f"{projection}.kernel"]
        merged[f"{projection}.kernel"] = (kernel + lora.scale * (a @ b)).astype(np.float32)
    return merged


def save_adapter(weights: Arrays, lora: Lora, folder: Path) -> None:
    """Write the adapter among the ``weights`` of a model into ``folder``."""
    write_whole(folder / WEIGHTS, to_bytes({name: array for name, array in weights.items() if ".lora_" in name}))
    write_json(folder / CONFIG, lora.model_dump(mode="json"))


def read_adapter(folder: Path, config: ModelConfig) -> tuple[Lora, Arrays]:
    """The adapter in ``folder`` for a model of these sizes. Raises InputError."""
    path = folder / CONFIG
    try:
        lora = Lora.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
        found, expected = str(error).splitlines()[0], "the numbers of an adapter"
        raise InputError(str(path), found=found, expected=expected, fix=fix) from None
    return lora, read_weights(folder, adapter_shapes(config, lora), WEIGHTS)


def adapter_shapes(config: ModelConfig, lora: Lora) -> Shapes:
    """The name and shape of every matrix of an adapter."""
    shapes: Shapes = {}
    for name, shape in weight_shapes(config).items():
        projection, _, kind = name.rpartition(".")
        if kind == "kernel" and projection.rpartition(".")[2] in lora.projections:
            shapes |= {f"{projection}.lora_a": (shape[0], lora.rank), f"{projection}.lora_b": (lora.rank, shape[1])}
    return shapes
