"""The examples that a fine-tuning learns from and is measured on, as token numbers.

In: the examples of several applications, what their checks set aside, a tokenizer. Out: encoded examples of two splits,
and batches of them. In between: what is left out is counted with its reason; an example follows an end of text, as a
document does in pretraining and a prompt in serving.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from components.core.errors import InputError, ParamsError
from components.core.examples import Tokens, join, read_examples
from components.core.quarantine import read_quarantine
from components.core.stage import Books
from components.tokenizer.codec import Codec
from components.train.backends import Answers, Windows
from components.train.mixture import Numbers

SPLITS = ("train", "validation")


@dataclass(frozen=True, eq=False)
class Examples:
    """Encoded examples of a split.

    Attributes:
        tokens: of each, end of text, prompt, answer and end of text.
        applications: which each belongs to, by its place in the config.  # [num_examples]
        identities: by which it is called.
    """

    tokens: Sequence[Tokens]
    applications: Numbers
    identities: Sequence[str]

    @property
    def lengths(self) -> Numbers:
        """Tokens of each that are read: all but the last.  # [num_examples]"""
        return np.array([len(example.tokens) - 1 for example in self.tokens], np.int64)

    @property
    def num_answer_tokens(self) -> Numbers:
        """Tokens of each that are learned.  # [num_examples]"""
        return np.array([example.is_answer.sum() for example in self.tokens], np.int64)


class Found(NamedTuple):
    """The usable examples of all applications, and how many there were."""

    train: Examples
    validation: Examples
    books: Books


def read_all(names: Sequence[str], examples: Path, checks: Path, codec: Codec, context_tokens: int) -> Found:
    """Encode the examples of the applications ``names``. Raises ParamsError for one that was not prepared, InputError
    for one without any example to learn from or to measure.
    """
    encoded: dict[str, list[Tokens]] = {split: [] for split in SPLITS}
    owners: dict[str, list[int]] = {split: [] for split in SPLITS}
    called: dict[str, list[str]] = {split: [] for split in SPLITS}
    received, dropped = 0, Counter[str]()
    for place, name in enumerate(names):
        quarantined = _quarantine(name, names, examples, checks)
        for split in SPLITS:
            table = read_examples(examples / name, split)
            kept = list(_usable(table, quarantined, dropped))
            if not kept:
                raise _empty(examples / name, split, table.num_rows)
            received, table = received + table.num_rows, table.take(kept)
            encoded[split] += _encode(table, codec, context_tokens)
            owners[split] += [place] * len(kept)
            called[split] += table.column("example_id").to_pylist()
    train, validation = (Examples(encoded[s], np.array(owners[s], np.int64), called[s]) for s in SPLITS)
    return Found(train, validation, Books(received, len(train.tokens) + len(validation.tokens), dropped))


def make_rows(
    examples: Examples, numbers: Numbers, width: int, num_places: int, end_of_text: int, prompt_weight: float = 0.0
) -> tuple[Windows, Answers]:
    """Examples as rows, and where what they teach is; the weights of that are 1 on average.

    An application weighs as much as it has rows: a label of one token is worth a text of a hundred.

    # [B, width + 1], [B, num_places]
    """
    windows = np.full((len(numbers), width + 1), end_of_text, np.int32)
    places = np.zeros((len(numbers), num_places), np.int32)
    weights = np.zeros(places.shape, np.float32)
    for row, number in enumerate(numbers.tolist()):
        tokens, is_answer = examples.tokens[number]
        windows[row, : len(tokens)] = tokens
        told = np.where(is_answer, 1.0, prompt_weight)[1:]  # of the targets, which begin at the second token
        learned = np.flatnonzero(told)
        places[row, : len(learned)], weights[row, : len(learned)] = learned, told[learned]
    owners = examples.applications[numbers]
    mean_weight = np.bincount(owners, weights.sum(axis=1)) / np.maximum(np.bincount(owners), 1)  # of a row, [A]
    weights /= mean_weight[owners, None]
    return windows, Answers(places, (weights * weights.size / weights.sum()).astype(np.float32))


def with_noise(
    windows: Windows, answers: Answers, share: float, vocabulary_size: int, random: np.random.Generator
) -> Windows:
    """Rows in which a share of each prompt's tokens are random ones; its last, where the answer is asked for, stays."""
    columns = np.arange(windows.shape[1])
    is_prompt = (columns > 0) & (columns < answers.places[:, :1])
    is_drawn = is_prompt & (random.random(windows.shape) < share)
    return np.where(is_drawn, random.integers(0, vocabulary_size, windows.shape, np.int32), windows)


def _quarantine(name: str, names: Sequence[str], examples: Path, checks: Path) -> frozenset[str]:
    if not (examples / name).is_dir():
        prepared = sorted(path.name for path in examples.iterdir())
        raise ParamsError(
            f"params.yaml, finetune, application {name}", found="no examples of it",
            expected=f"one of {', '.join(prepared)}", fix="add it to applications in params.yaml, or leave it out here",
        )  # fmt: skip
    return read_quarantine(checks / name)


def _usable(table: pa.Table, quarantined: frozenset[str], dropped: Counter[str]) -> Iterator[int]:
    """The rows to learn from; the others are counted by reason."""
    identities, answers = table.column("example_id").to_pylist(), table.column("answer").to_pylist()
    for row, (identity, answer) in enumerate(zip(identities, answers, strict=True)):
        if identity in quarantined:
            dropped["set aside by its check"] += 1
        elif answer is None:
            dropped["without an answer"] += 1
        else:
            yield row


def _encode(table: pa.Table, codec: Codec, context_tokens: int) -> list[Tokens]:
    prompts, answers = (codec.encode_all(table.column(name).to_pylist()) for name in ("prompt", "answer"))
    return [join(*pair, codec.end_of_text, context_tokens) for pair in zip(prompts, answers, strict=True)]


def _empty(folder: Path, split: str, num_rows: int) -> InputError:
    return InputError(
        f"{folder}, split {split}", found=f"{num_rows} examples, none of which can be used",
        expected="examples with an answer that passed the checks",
        fix="give the application more data, or leave it out of finetune in params.yaml",
    )  # fmt: skip
