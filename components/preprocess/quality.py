"""The rules for quality, applied to a column of texts with compiled kernels.

In: texts and the sections of the rules. Out: reason and detail of each text, and the text without the lines that C4
leaves out. In between: repetition, Gopher, C4, FineWeb, in the order of FineWeb's own recipe (section 3.6): the last
judges what C4 left. What is switched off is not even compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from components.preprocess.characters import hashes_of, tables
from components.preprocess.config import PreprocessConfig
from components.preprocess.lines import filter_lines
from components.preprocess.measures import MEASURES
from components.preprocess.measures import measure as run_kernel
from components.preprocess.rules.c4 import C4, PHRASES
from components.preprocess.rules.fineweb import FineWeb
from components.preprocess.rules.gopher_quality import GopherQuality
from components.preprocess.rules.gopher_repetition import GopherRepetition
from components.preprocess.rules.limits import Verdicts, judge

Measures = Mapping[str, NDArray[np.float64]]


class Judged(NamedTuple):
    """Texts, some with lines left out, and what the rules say of each."""

    texts: pa.LargeStringArray
    verdicts: Verdicts


def judge_quality(judged: pl.DataFrame, config: PreprocessConfig) -> pl.DataFrame:
    """Ask every family that is switched on; ``judged`` has ``text``, ``reason`` (null while kept) and ``detail``."""
    if config.gopher_repetition.enabled or config.gopher_quality.enabled:
        judged = _apply(judged, lambda texts: judge_gopher(texts, config.gopher_repetition, config.gopher_quality))
    if config.c4.enabled:
        judged = _apply(judged, lambda texts: judge_c4(texts, config.c4))
    if config.fineweb.enabled:
        judged = _apply(judged, lambda texts: judge_fineweb(texts, config.fineweb))
    return judged


def _apply(judged: pl.DataFrame, judge_texts: Callable[[pa.LargeStringArray], Judged]) -> pl.DataFrame:
    """Judge the rows that are still kept; their texts become what the rules left of them."""
    rows = judged.with_row_index("place").filter(pl.col("reason").is_null())
    texts, (reasons, details) = judge_texts(rows["text"].rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()))
    found = {"new_reason": pl.Series(reasons, dtype=pl.String), "new_detail": pl.Series(details, dtype=pl.String)}
    changed = pl.DataFrame({"place": rows["place"], "new_text": pl.Series(texts, dtype=pl.String), **found})
    judged = judged.with_row_index("place").join(changed, on="place", how="left", maintain_order="left")
    return judged.with_columns(
        pl.coalesce(f"new_{name}", name).alias(name) for name in ("text", "reason", "detail")
    ).drop("place", "new_text", "new_reason", "new_detail")


def judge_gopher(texts: pa.LargeStringArray, repetition: GopherRepetition, quality: GopherQuality) -> Judged:
    """What Gopher's two families say of each text; repetition is asked first."""
    found = measure(texts, repetition=repetition.enabled, quality=quality.enabled, stop_words=quality.stop_words)
    limits = [*(repetition.limits() if repetition.enabled else ()), *(quality.limits() if quality.enabled else ())]
    return Judged(texts, judge(found, limits, len(texts)))


def judge_fineweb(texts: pa.LargeStringArray, rules: FineWeb) -> Judged:
    """What FineWeb's rules say of each text."""
    found = measure(texts, short_line=rules.short_line_characters)
    return Judged(texts, judge(found, rules.limits(), len(texts)))


def judge_c4(texts: pa.LargeStringArray, rules: C4) -> Judged:
    """What C4's rules say of each text, and the texts with the lines that they keep."""
    data, offsets = _buffers(texts)
    phrases = np.frombuffer("".join(PHRASES).encode(), np.uint8).astype(np.uint32)
    ends = np.cumsum([len(phrase) for phrase in PHRASES])
    kept, kept_offsets, sentences = filter_lines(
        data, offsets, *tables(), phrases, ends, rules.min_line_words, rules.max_word_length,
        rules.require_terminal_mark, rules.ban_curly_brackets,
    )  # fmt: skip
    verdicts = [rules.verdict(int(number)) or (None, None) for number in sentences]
    buffers = [None, pa.py_buffer(kept_offsets), pa.py_buffer(kept)]
    column = pa.Array.from_buffers(pa.large_string(), len(texts), buffers)
    return Judged(column, Verdicts([reason for reason, _ in verdicts], [detail for _, detail in verdicts]))


def measure(
    texts: pa.LargeStringArray, *, repetition: bool = False, quality: bool = False, short_line: int | None = None,
    stop_words: list[str] | None = None,
) -> Measures:  # fmt: skip
    """Each measure of the wanted families by its name, one value per text; lines are measured with ``short_line``."""
    data, offsets = _buffers(texts)
    numbers = run_kernel(data, offsets, *tables(), hashes_of(stop_words or []), short_line or 0,
                         repetition, quality, short_line is not None)  # fmt: skip
    return dict(zip(MEASURES, numbers.T, strict=True))


def _buffers(texts: pa.LargeStringArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all texts and the offsets of each, without a copy."""
    _, offsets, data = texts.buffers()
    begins = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data or b"", np.uint8), begins
