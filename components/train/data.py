"""What a run learns from and is measured on, with every refusal that can come before any work is done.

In: packed tokens, the checks on them, a config. Out: the windows of two splits. In between: a window that shows any
token of a quarantined document is not used, and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.errors import InputError, ParamsError
from components.core.quarantine import read_quarantine
from components.core.tokens import Layout, TokenSplit, read_layout
from components.train.config import TrainConfig

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """A split and those of its windows that may be used."""

    split: TokenSplit
    positions: Positions

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, numbers: Positions) -> npt.NDArray[np.int32]:
        """The usable windows with these numbers.  # [len(numbers), T + 1]"""
        return self.split.windows(self.positions[numbers])


@dataclass(frozen=True)
class Data:
    """What a run learns from and what it is measured on."""

    train: Windows
    validation: Windows

    @property
    def num_windows(self) -> int:
        """Windows of both splits, usable or not."""
        return self.train.split.num_windows + self.validation.split.num_windows

    @property
    def num_usable(self) -> int:
        """Windows of both splits that may be used."""
        return len(self.train) + len(self.validation)


def open_data(config: TrainConfig, tokens: Path, checks: Path) -> Data:
    """Map both splits. Raises ParamsError or InputError when they cannot serve this config."""
    layout = read_layout(tokens)
    _check_sizes(config, layout)
    quarantined = read_quarantine(checks)
    _check_origin(checks, quarantined, [TokenSplit.open(tokens, name) for name in layout.splits])
    data = Data(*(_usable(TokenSplit.open(tokens, name), quarantined) for name in ("train", "validation")))
    for windows in (data.train, data.validation):
        if not len(windows):
            raise _too_small(windows.split)
    if config.batch_windows > len(data.train):
        raise _refuse(
            "batch_windows", config.batch_windows, f"at most the {len(data.train)} windows of the split train"
        )
    return data


def _check_sizes(config: TrainConfig, layout: Layout) -> None:
    model = config.model
    if model.vocabulary_size < layout.vocabulary_size:
        expected = f"at least the {layout.vocabulary_size} of the tokenizer"
        raise _refuse("model.vocabulary_size", model.vocabulary_size, expected)
    if model.context_tokens != layout.context_tokens:
        expected = f"{layout.context_tokens}, the pack.context_tokens of the windows"
        raise _refuse("model.context_tokens", model.context_tokens, expected)


def _check_origin(checks: Path, quarantined: frozenset[str], splits: list[TokenSplit]) -> None:
    known = {doc_id for split in splits for doc_id in split.documents().column("doc_id").to_pylist()}
    if unknown := sorted(quarantined - known):
        found = f"{len(unknown)} documents that are not among the tokens, such as {unknown[0]}"
        raise InputError(str(checks), found=found, expected="checks of these very tokens", fix="run `pedigree run`")


def _usable(split: TokenSplit, quarantined: frozenset[str]) -> Windows:
    aside = pc.is_in(split.documents().column("doc_id"), value_set=pa.array(sorted(quarantined), pa.string()))
    is_usable = np.ones(split.num_windows, dtype=bool)
    for document in np.flatnonzero(aside.to_numpy()).tolist():
        touched = split.windows_of(document)
        is_usable[touched.start : touched.stop] = False
    return Windows(split, np.flatnonzero(is_usable))


def _too_small(split: TokenSplit) -> InputError:
    return InputError(
        f"{split.folder}, split {split.name}",
        found=f"{len(split.stream)} tokens in {split.num_documents} documents, not one usable window",
        expected=f"more than {split.context_tokens} tokens of documents that passed the checks",
        fix="give ingest more documents, change the split of preprocess, or lower pack.context_tokens",
    )


def _refuse(key: str, value: object, expected: str) -> ParamsError:
    fix = f"change train.{key} in params.yaml"
    return ParamsError(f"params.yaml, train.{key}", found=str(value), expected=expected, fix=fix)
