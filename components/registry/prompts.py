"""The model as MLflow serves it: rows with a prompt in, rows with a text out.

In: a table with the column ``prompt`` and, where wanted, ``max_new_tokens``, ``temperature`` and ``seed``.
Out: a table with the column ``text``. In between: the files are checked against their records before any of them
is parsed. This is also the code that goes into a version: MLflow runs it in a process of its own. What writes is
imported when a version is loaded and not when one is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from components.core.records import verify

if TYPE_CHECKING:
    from components.model.writing import Sampling

# The file by which MLflow finds the model; it holds no logic of its own.
MODEL_CODE = '''"""What `mlflow models serve` runs."""

from mlflow.models import set_model

from components.registry.prompts import PromptModel

set_model(PromptModel())
'''
# Columns that a row may have, and what they are of ``Sampling``.
_OPTIONS: dict[str, tuple[str, type]] = {
    "max_new_tokens": ("num_tokens", int), "temperature": ("temperature", float), "seed": ("seed", int),
}  # fmt: skip


class PromptModel(PythonModel):
    """Continues prompts; equal rows give equal texts."""

    def load_context(self, context: PythonModelContext) -> None:
        """Check the files, then load them. Raises InputError naming the first file that is not its record's."""
        from components.model.decoding import load_weights
        from components.model.writing import Writer
        from components.tokenizer.codec import Codec

        model, tokenizer = (Path(context.artifacts[part]) for part in ("model", "tokenizer"))
        verify(model)
        verify(tokenizer)
        self._writer, self._codec = Writer(*load_weights(model)), Codec.load(tokenizer)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The text that continues the prompt of each row."""
        rows = model_input.to_dict(orient="records")
        return pd.DataFrame({"text": [self._continue(row) for row in rows]})

    def _continue(self, row: Mapping[Any, Any]) -> str:
        # A document starts after an end of text.
        prompt = [self._codec.end_of_text, *self._codec.encode(row["prompt"]).tolist()]
        return self._codec.decode(self._writer.write(prompt, _sampling(row), self._codec.end_of_text))


def signature() -> ModelSignature:
    """The columns that go in and come out."""
    # All options are doubles: MLflow refuses a column of whole numbers as soon as one row leaves it empty.
    options = [ColSpec(DataType.double, name, False) for name in _OPTIONS]
    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "prompt"), *options]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.string, "text")]))


def _sampling(row: Mapping[Any, Any]) -> Sampling:
    """The row's own options; an empty cell, which reads as not a number, leaves the default."""
    from components.model.writing import Sampling

    given = {}
    for column, (name, kind) in _OPTIONS.items():
        value = row.get(column)
        if value is not None and value == value:
            given[name] = kind(value)
    return Sampling(**given)
