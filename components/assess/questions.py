"""What is asked of a model, and what is said.

In: the examples of an application, without those that the checks set aside. Out: questions. In between: an example
without an answer is no question; the order is that of the examples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.core.examples import read_examples
from components.core.files import digest_of
from components.core.quarantine import read_quarantine


@dataclass(frozen=True)
class Question:
    """One example, as it is asked and held against its answers."""

    identity: str
    group: str
    request: Mapping[str, Any]
    prompt: str
    answer: str
    references: tuple[str, ...]
    choices: tuple[str, ...]
    slices: tuple[str, ...]

    @property
    def item(self) -> str:
        """The digest by which two models know that they were asked the same."""
        return digest_of({"prompt": self.prompt, "references": self.references, "choices": self.choices})

    @property
    def text(self) -> str:
        """Everything in the request that is a text, for who only counts words."""
        return "\n".join(_texts(self.request))


@dataclass(frozen=True)
class Said:
    """What somebody, a model or a floor, says to a question; None where that is none of its affair.

    Attributes:
        text: the answer.
        chances: the probability of each choice.
        ranked: what it recommends, the likeliest first.
        loss_nats: −log p of the right answer, ended.
        is_toxic: what a judge says of the text (``components.core.toxicity``).
    """

    text: str | None = None
    chances: Mapping[str, float] | None = None
    ranked: tuple[str, ...] | None = None
    loss_nats: float | None = None
    is_toxic: bool | None = None


def read_questions(examples: Path, checks: Path, split: str, most: int | None = None) -> tuple[list[Question], int]:
    """The questions of a split, or those of the lowest identities, and how many of its examples are left out.

    Raises InputError.
    """
    table = read_examples(examples, split)
    aside = pc.is_in(table.column("example_id"), value_set=pa.array(sorted(read_quarantine(checks)), pa.string()))
    kept = table.filter(pc.and_(pc.invert(aside), pc.is_valid(table.column("answer"))))
    questions = [_question(row) for row in kept.slice(0, most).to_pylist()]
    return questions, table.num_rows - len(questions)


def _question(row: Mapping[str, Any]) -> Question:
    slices = [f"source:{row['source']}", *([f"language:{row['language']}"] if row["language"] else [])]
    return Question(
        row["example_id"], row["group"], json.loads(row["request"]), row["prompt"], row["answer"],
        tuple(row["references"]), tuple(row["choices"]), tuple(slices),
    )  # fmt: skip


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in inner for text in _texts(part)]
