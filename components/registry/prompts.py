"""The model as MLflow serves it: rows with a prompt in, rows with a text out.

In: a table with the column ``prompt`` and, where wanted, ``max_new_tokens``, ``temperature`` and ``seed``.
Out: a table with the column ``text``. In between: the files are checked against their records before any of them
is parsed. This is also the code that goes into a version: MLflow runs it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from components.core.records import verify

# The file by which MLflow finds the model; it holds no logic of its own.
MODEL_CODE = '''"""What `mlflow models serve` runs."""

from mlflow.models import set_model

from components.registry.prompts import PromptModel

set_model(PromptModel())
'''
DEFAULTS: dict[str, Any] = {"max_new_tokens": 64, "temperature": 0.8, "seed": 0}


class PromptModel(PythonModel):
    """Continues prompts; equal rows give equal texts."""

    def load_context(self, context: PythonModelContext) -> None:
        """Check the files, then load them. Raises InputError naming the first file that is not its record's."""
        from components.model import load_model
        from components.tokenizer.codec import Codec

        model, tokenizer = (Path(context.artifacts[part]) for part in ("model", "tokenizer"))
        verify(model)
        verify(tokenizer)
        self._model, self._codec = load_model(model), Codec.load(tokenizer)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The text that continues the prompt of each row."""
        rows = model_input.to_dict(orient="records")
        return pd.DataFrame({"text": [self._continue(row) for row in rows]})

    def _continue(self, row: Mapping[Any, Any]) -> str:
        raise NotImplementedError(_options(row))


def signature() -> ModelSignature:
    """The columns that go in and come out."""
    options = [ColSpec(DataType.long, "max_new_tokens", False), ColSpec(DataType.double, "temperature", False),
               ColSpec(DataType.long, "seed", False)]  # fmt: skip
    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "prompt"), *options]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.string, "text")]))


def _options(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The row's own options, and the defaults where it has none (an empty cell reads as not a number)."""
    given = {name: row[name] for name in DEFAULTS if row.get(name) is not None and row[name] == row[name]}
    return {name: type(default)(given.get(name, default)) for name, default in DEFAULTS.items()}
