"""What is measured about each example: its label, and whether it stands elsewhere too.

In: the examples of an application, and what is asked. Out: a narrow table, one row per example in their order, without
texts. In between: two questions are equal when they have the same letters and digits, whatever stands between them.

    example_id, split
    has_answer             whether there is an answer that is not blank
    is_known               whether the answer is one of the choices; true where there is no answer
    is_distinct            whether no earlier example of the split has the same question and answer
    is_consistent          whether no example of the split answers the same question otherwise
    is_new                 whether no earlier example of the split asks the same question
    is_fresh               whether no later split (train, validation, test) asks the same question
    is_commonest           of an example to learn from: 1.0 where its answer is the commonest of these, else 0.0
    in_train, in_validation, in_test   1 where that is the split, else 0
    num_prompt_characters, num_answer_characters
    own.SENTENCE           whether an expectation of the application itself holds, one column for each
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from components.core.examples import Asked
from components.core.tokens import SPLITS

OWN = "own."


def measure(examples: pa.Table, asked: Asked) -> pl.DataFrame:
    """The table above."""
    frame = pl.DataFrame(pl.from_arrow(examples)).with_columns(
        question=pl.concat_str("prompt", pl.col("choices").list.join("\n"))
        .str.to_lowercase()
        .str.replace_all(r"[^\p{L}\p{N}]+", " ")
        .hash(seed=1),
        said=pl.col("answer").fill_null("").str.strip_chars(),
        place=pl.col("split").replace_strict(
            {split: place for place, split in enumerate(SPLITS)}, return_dtype=pl.Int8
        ),
    )
    return frame.select("example_id", "split", *_labels(frame, asked), *_standing(), *_sizes(), *_own(frame))


def own(measured: pl.DataFrame) -> list[str]:
    """The sentences that the application itself expects to hold."""
    return [column.removeprefix(OWN) for column in measured.columns if column.startswith(OWN)]


def _labels(frame: pl.DataFrame, asked: Asked) -> list[pl.Expr]:
    said, is_train = pl.col("said"), pl.col("place") == 0
    learned = frame.filter(is_train & (said != ""))["said"]
    commonest = learned.mode().sort().first() if len(learned) else ""
    own = pl.col("choices").list.len() > 0
    known = pl.when(own).then(pl.col("choices").list.contains(said)).otherwise(said.is_in(asked.choices))
    return [
        (said != "").alias("has_answer"),
        ((said == "") | known).alias("is_known"),
        pl.when(is_train).then((said == commonest).cast(pl.Float64)).alias("is_commonest"),
    ]


def _standing() -> list[pl.Expr]:
    """What depends on the other examples of the same question."""
    return [
        pl.struct("split", "question", "said").is_first_distinct().alias("is_distinct"),
        pl.struct("split", "question").is_first_distinct().alias("is_new"),
        (pl.col("said").n_unique().over("split", "question") == 1).alias("is_consistent"),
        (pl.col("place") == pl.col("place").max().over("question")).alias("is_fresh"),
    ]


def _sizes() -> list[pl.Expr]:
    return [
        *((pl.col("split") == split).cast(pl.Int64).alias(f"in_{split}") for split in SPLITS),
        pl.col("prompt").str.len_chars().cast(pl.Int64).alias("num_prompt_characters"),
        pl.col("said").str.len_chars().cast(pl.Int64).alias("num_answer_characters"),
    ]


def _own(frame: pl.DataFrame) -> list[pl.Expr]:
    """The expectations of an application are the same for all its examples, in one order."""
    sentences = [one["sentence"] for one in frame["expectations"].head(1).to_list()[0]] if frame.height else []
    expected = pl.col("expectations").list
    return [
        expected.get(place).struct.field("holds").alias(f"{OWN}{sentence}") for place, sentence in enumerate(sentences)
    ]
