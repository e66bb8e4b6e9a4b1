"""Examples as every room meets them: what a model is asked, and what it should answer.

In: the folder of a ``prepare`` stage. Out: a table, and token numbers to learn from or to score. In between: the text
of an example is its prompt and, right behind it, its answer; each is encoded apart, end of text stands before and after
both, as in a packed stream, and training, evaluation and serving meet the same tokens. Only the answer and its end are
learned.

    examples.parquet    columns of ``EXAMPLES``, in the order of the splits and then of ``example_id``
    rejected.parquet    columns of ``REJECTED``: what became no example, and why
    application.json    an ``Asked``: what serving needs to know of the data beside the weights
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from components.core.errors import InputError
from components.core.tokens import SPLITS

FILE, REJECTED_FILE, ASKED_FILE = "examples.parquet", "rejected.parquet", "application.json"
EXPECTATION = pa.struct({"sentence": pa.string(), "holds": pa.bool_()})
EXAMPLES = pa.schema([
    pa.field("example_id", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("group", pa.string(), nullable=False),  # what it was made from; examples of a group are not independent
    pa.field("request", pa.large_string(), nullable=False),  # what is asked, field by field, as a JSON object
    pa.field("prompt", pa.large_string(), nullable=False),  # the same as the model reads it
    pa.field("answer", pa.large_string()),  # null where the label is missing
    pa.field("references", pa.list_(pa.large_string()), nullable=False),  # every right answer, at least the answer
    pa.field("choices", pa.list_(pa.large_string()), nullable=False),  # of this example alone; else those of ``Asked``
    pa.field("source", pa.string(), nullable=False),
    pa.field("licence", pa.string(), nullable=False),
    pa.field("language", pa.string()),
    pa.field("expectations", pa.list_(EXPECTATION), nullable=False),  # those of its application, in one order
])  # fmt: skip
REJECTED = pa.schema([
    pa.field("example_id", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("detail", pa.string(), nullable=False),
])  # fmt: skip
_ROW_GROUP_ROWS = 10_000


class Asked(BaseModel):
    """What is asked of a model in one application.

    Attributes:
        application: its name.
        decoding: whether it chooses among ``choices``, ranks them, or writes freely.
        choices: the answers among which it chooses; empty where it writes freely, or where each example has its own.
        example: a request, as a reader of the data would make one; its fields are the application's.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    application: str
    decoding: Literal["choose", "rank", "write"]
    choices: list[str]
    example: dict[str, JsonValue]


class Tokens(NamedTuple):
    """An example as a model meets it."""

    tokens: npt.NDArray[np.int32]  # end of text, prompt, answer, end of text  # [num_tokens]
    is_answer: npt.NDArray[np.bool_]  # what is learned: the answer and its end  # [num_tokens]


def write_examples(folder: Path, examples: pa.Table, rejected: pa.Table, asked: Asked) -> None:
    """Write the three files of an application; rows are put into their order."""
    ordered = _in_order(examples.select(EXAMPLES.names).cast(EXAMPLES))
    rejected = rejected.select(REJECTED.names).cast(REJECTED).sort_by([("example_id", "ascending")])
    for name, table in ((FILE, ordered), (REJECTED_FILE, rejected)):
        pq.write_table(table, folder / name, compression="zstd", row_group_size=_ROW_GROUP_ROWS)
    (folder / ASKED_FILE).write_text(asked.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_examples(folder: Path, split: str | None = None) -> pa.Table:
    """The examples of an application, all or those of one split. Raises InputError."""
    path = folder / FILE
    try:
        table = pq.read_table(path, filters=[("split", "=", split)] if split else None)
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise _refuse(path, str(error), "Parquet with examples") from None
    if missing := [name for name in EXAMPLES.names if name not in table.column_names]:
        raise _refuse(path, f"no column {missing[0]}", f"Parquet with {', '.join(EXAMPLES.names)}")
    return table.select(EXAMPLES.names)


def read_asked(folder: Path) -> Asked:
    """What is asked in the application of ``folder``. Raises InputError."""
    path = folder / ASKED_FILE
    try:
        return Asked.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _refuse(path, str(error).splitlines()[0], "what is asked in an application") from None


def begin(prompt: npt.NDArray[np.integer], end_of_text: int, most: int) -> npt.NDArray[np.int32]:
    """End of text, behind which every text begins, and a prompt, in at most ``most`` tokens.

    Of a longer prompt the middle is left out: it begins with what is asked and ends with where the answer stands.
    """
    tokens, room = np.asarray(prompt, np.int32), most - 1
    if len(tokens) > room:
        head = (room + 1) // 2
        tokens = np.concatenate([tokens[:head], tokens[len(tokens) - (room - head) :]])
    return np.concatenate([np.array([end_of_text], np.int32), tokens])


def join(prompt: npt.NDArray[np.integer], answer: npt.NDArray[np.integer], end_of_text: int, most: int) -> Tokens:
    """What a model learns of an example, in at most ``most`` tokens: the answer whole, or else half of them."""
    ended = np.concatenate([np.asarray(answer, np.int32), np.array([end_of_text], np.int32)])[: most // 2]
    begun = begin(prompt, end_of_text, most - len(ended))
    return Tokens(np.concatenate([begun, ended]), np.arange(len(begun) + len(ended)) >= len(begun))


def _in_order(examples: pa.Table) -> pa.Table:
    places = pa.array([SPLITS.index(split) for split in examples.column("split").to_pylist()], pa.int8())
    ordered = examples.append_column("place", places).sort_by([("place", "ascending"), ("example_id", "ascending")])
    return ordered.drop_columns(["place"])


def _refuse(path: Path, found: str, expected: str) -> InputError:
    fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
    return InputError(str(path), found=found, expected=expected, fix=fix)
