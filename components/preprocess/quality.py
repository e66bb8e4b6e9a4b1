"""The rules for quality, applied to a column of texts with one compiled pass.

In: texts and the sections of the rules. Out: reason and detail of each text, and the text without the lines that C4
leaves out. In between: repetition, Gopher, C4, FineWeb, in the order of FineWeb's own recipe (section 3.6): the last
judges what C4 left. Who was dropped before C4 was asked, or by it, keeps the whole text. Where all are switched off,
nothing is even compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from components.core.strings import text_buffers
from components.preprocess.characters import hashes_of, tables
from components.preprocess.config import PreprocessConfig
from components.preprocess.lines import make_rules
from components.preprocess.measures import MEASURES, Wanted, make_scratch
from components.preprocess.measures import measure as run_kernel
from components.preprocess.rules.c4 import PHRASES
from components.preprocess.rules.limits import Verdicts, judge
from components.preprocess.text import arrow_texts

Measures = Mapping[str, NDArray[np.float64]]


class Measured(NamedTuple):
    """Each measure by its name, one value per text; what C4 leaves of the texts, and how many sentences that has."""

    measures: Measures
    texts: pa.LargeStringArray
    sentences: NDArray[np.int64]


def judge_quality(judged: pl.DataFrame, config: PreprocessConfig) -> pl.DataFrame:
    """Ask every family that is switched on; ``judged`` has ``text``, ``reason`` (null while kept) and ``detail``."""
    families = (config.gopher_repetition, config.gopher_quality, config.c4, config.fineweb)
    if not any(family.enabled for family in families):
        return judged
    rows = judged.with_row_index("place").filter(pl.col("reason").is_null())
    texts, verdicts = judge_texts(arrow_texts(rows["text"]), config)
    told = {"new_reason": verdicts.reasons, "new_detail": verdicts.details}
    changed = pl.DataFrame({"place": rows["place"], "new_text": pl.Series(texts, dtype=pl.String), **told},
                           schema_overrides=dict.fromkeys(told, pl.String))  # fmt: skip
    judged = judged.with_row_index("place").join(changed, on="place", how="left", maintain_order="left")
    return judged.with_columns(
        pl.coalesce(f"new_{name}", name).alias(name) for name in ("text", "reason", "detail")
    ).drop("place", "new_text", "new_reason", "new_detail")


def judge_texts(texts: pa.LargeStringArray, config: PreprocessConfig) -> tuple[pl.Series, Verdicts]:
    """What the rules say of each text, and the texts with the lines that they keep."""
    measured, verdicts = measure(texts, config), Verdicts.of(len(texts))
    for family in (config.gopher_repetition, config.gopher_quality):
        judge(verdicts, measured.measures, family.limits() if family.enabled else ())
    left = pl.Series(texts)
    if config.c4.enabled:
        config.c4.judge(verdicts, measured.sentences)
        is_kept = pl.Series([reason is None for reason in verdicts.reasons], dtype=pl.Boolean)
        left = pl.Series(measured.texts).zip_with(is_kept, left)
    judge(verdicts, measured.measures, config.fineweb.limits() if config.fineweb.enabled else ())
    return left, verdicts


def measure(texts: pa.LargeStringArray, config: PreprocessConfig) -> Measured:
    """What the families that are switched on look at, in one pass over the texts."""
    c4, (offsets, data) = config.c4, text_buffers(texts)
    wanted = Wanted(
        config.gopher_repetition.enabled, config.gopher_quality.enabled, c4.enabled, config.fineweb.enabled,
        hashes_of(config.gopher_quality.stop_words), config.fineweb.short_line_characters,
    )  # fmt: skip
    rules = make_rules(PHRASES, c4.min_line_words, c4.max_word_length, c4.require_terminal_mark, c4.ban_curly_brackets)
    numbers, sentences = np.zeros((len(texts), len(MEASURES))), np.zeros(len(texts), np.int64)
    kept, kept_offsets = (
        np.empty(offsets[-1] - offsets[0] if c4.enabled else 0, np.uint8),
        np.zeros(len(offsets), np.int64),
    )
    scratch = make_scratch(int(np.diff(offsets).max(initial=0)))
    size = run_kernel(data, offsets, tables(), scratch, wanted, rules, numbers, kept, kept_offsets, sentences)
    buffers = [None, pa.py_buffer(kept_offsets), pa.py_buffer(kept[:size])]
    left = pa.Array.from_buffers(pa.large_string(), len(texts), buffers)
    return Measured(dict(zip(MEASURES, numbers.T, strict=True)), left, sentences)
