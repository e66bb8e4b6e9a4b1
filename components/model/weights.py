"""A model as two files that no one has to trust: ``model.json`` and ``weights.safetensors``.

In: a model, or a folder. Out: a folder's two files, or the same model. In between: nothing in them can run. The
config is parsed strictly, the model is built by our own code, and the weights must be exactly those that the
model has: same names, same shapes, float32, finite.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from components.core.errors import InputError
from components.core.files import write_json, write_whole
from components.model.config import ModelConfig

if TYPE_CHECKING:
    from components.model.transformer import ComputeType, Transformer

CONFIG, WEIGHTS = "model.json", "weights.safetensors"
Shapes = dict[str, tuple[int, ...]]
Arrays = dict[str, npt.NDArray[np.float32]]


def save_model(model: Transformer, folder: Path) -> None:
    """Write both files into ``folder``; equal models give equal bytes."""
    save_weights(model.config, {name: weight.numpy() for name, weight in model.named_weights.items()}, folder)


def save_weights(config: ModelConfig, weights: Arrays, folder: Path) -> None:
    """As ``save_model``, for a model whose weights are at hand."""
    write_whole(folder / WEIGHTS, to_bytes(weights))
    write_json(folder / CONFIG, config.model_dump(mode="json"))


def to_bytes(arrays: Arrays) -> bytes:
    """Arrays by name as a safetensors file."""
    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def load_model(folder: Path, compute_type: ComputeType = "float32") -> Transformer:
    """The model that ``save_model`` wrote. Raises InputError naming the first thing that is not as it must be."""
    config = read_config(folder)
    # First the weights, then the model: sizes that the file does not bear out must not claim memory.
    return build_model(config, read_weights(folder, weight_shapes(config)), compute_type)


def build_model(config: ModelConfig, arrays: Arrays, compute_type: ComputeType = "float32") -> Transformer:
    """The model of these sizes and weights."""
    from components.model.transformer import Transformer  # imports Keras, which whoever only reads weights can spare

    model = Transformer(config, seed=0, compute_type=compute_type)
    for name, weight in model.named_weights.items():
        weight.assign(arrays[name])
    return model


def read_config(folder: Path) -> ModelConfig:
    """The sizes of the model in ``folder``; no weights are read. Raises InputError."""
    path = folder / CONFIG
    try:
        return ModelConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _refuse(path, str(error), "the sizes of a model") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise _refuse(path, f"{key}: {first['msg']}", "the sizes of a model, and nothing else") from None


def weight_shapes(config: ModelConfig) -> Shapes:
    """The name and shape of every weight of a model."""
    width, inner, is_gated = config.width, config.feed_forward_width, config.activation == "swiglu"
    joined = (config.num_heads + 2 * config.key_value_heads) * config.head_width
    norm: Shapes = {"gamma": (width,)}
    if config.norm == "layer_norm":
        norm["beta"] = (width,)
    parts: dict[str, Shapes] = {
        "attention_norm": norm,
        "query_key_value": {"kernel": (width, joined)},
        "attention_output": {"kernel": (width, width)},
        "feed_forward_norm": norm,
        "feed_forward_in": {"kernel": (width, 2 * inner)} if is_gated else {"kernel": (width, inner), "bias": (inner,)},
        "feed_forward_out": {"kernel": (inner, width)} | ({} if is_gated else {"bias": (width,)}),
    }
    whole: Shapes = {"token_embedding": (config.vocabulary_size, width)}
    if config.positions == "learned":
        whole["position_embedding"] = (config.context_tokens, width)
    if config.output == "free":
        whole["output_embedding"] = (config.vocabulary_size, width)
    blocks = {
        f"block_{i}.{p}.{w}": s for i in range(config.num_layers) for p, ws in parts.items() for w, s in ws.items()
    }
    return whole | blocks | {f"final_norm.{name}": shape for name, shape in norm.items()}


def read_weights(folder: Path, expected: Shapes, file: str = WEIGHTS) -> Arrays:
    """The arrays of a file that must hold exactly these names and shapes, finite. Raises InputError."""
    path = folder / file
    try:
        with safe_open(path, framework="numpy") as opened:
            _check_shapes(path, {name: opened.get_slice(name) for name in opened.keys()}, expected)  # noqa: SIM118
            arrays = {name: opened.get_tensor(name) for name in expected}
    except (OSError, SafetensorError) as error:
        raise _refuse(path, str(error), "a safetensors file") from None
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise _refuse(path, f"{name} with numbers that are not finite", "finite numbers")
    return arrays


def _check_shapes(path: Path, found: dict[str, object], expected: Shapes) -> None:
    if odd := sorted(found.keys() ^ expected.keys()):
        kind = "an unknown" if odd[0] in found else "no"
        raise _refuse(path, f"{kind} weight {odd[0]}", f"the {len(expected)} weights of the model in {CONFIG}")
    for name, shape in expected.items():
        here = found[name]
        told = (here.get_dtype(), tuple(here.get_shape()))  # type: ignore[attr-defined]
        if told != ("F32", shape):
            raise _refuse(path, f"{name} of {told[0]} {told[1]}", f"F32 {shape}, as {CONFIG} says")


def _refuse(path: Path, found: str, expected: str) -> InputError:
    fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
    return InputError(str(path), found=found, expected=expected, fix=fix)
