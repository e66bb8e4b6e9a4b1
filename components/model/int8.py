"""Weights of one byte for writing with a model: each output channel of a matrix is whole numbers and one scale.

In: the weights of a model. Out: the same, matrices as numbers from −127 to 127; and back to float32.
In between: symmetric, to the nearest (Jacob et al. 2018, section 2.1, with a zero point of 0; a scale for each output
channel as Krishnamoorthi 2018, section 3.2). The largest number of a channel is kept exactly; no other is wrong by more
than half a scale. The output channels of a projection are its columns; those of an embedding, which is also the matrix
to the logits, its rows. Norms, biases and positions stay float32: together they are small.

Nothing here is saved: equal weights give equal numbers, so whoever loads a verified model makes them from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_MOST = 127
_EMBEDDINGS = ("token_embedding", "output_embedding")


class Quantised(NamedTuple):
    """A matrix as ``numbers · scales``."""

    numbers: npt.NDArray[np.int8]  # as the matrix: [in, out], or [V, D]
    scales: Floats  # one for each output channel: [1, out], or [V, 1]

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.numbers.nbytes + self.scales.nbytes


def quantise(weights: Mapping[str, Floats]) -> dict[str, Floats | Quantised]:
    """The weights of a model by their names in its file, projections and embeddings in one byte each."""
    return {name: _quantise(array, name) if _is_matrix(name) else array for name, array in weights.items()}


def widen(weights: Mapping[str, Floats | Quantised]) -> dict[str, Floats]:
    """What quantised weights stand for, in float32: the statement of what int8 inference computes."""
    return {
        name: array.numbers * array.scales if isinstance(array, Quantised) else array for name, array in weights.items()
    }


def num_bytes(weights: Mapping[str, Floats | Quantised]) -> int:
    """Bytes of all weights."""
    return sum(array.nbytes for array in weights.values())


def _is_matrix(name: str) -> bool:
    return name.endswith(".kernel") or name in _EMBEDDINGS


def _quantise(matrix: Floats, name: str) -> Quantised:
    most = np.abs(matrix).max(axis=1 if name in _EMBEDDINGS else 0, keepdims=True)
    scales = np.where(most > 0, most, 1) / np.float32(_MOST)  # a channel of zeros stays one
    return Quantised(np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32))
