"""Figures over documents: loss per token, perplexity, bits per byte with an interval, overall and per source.

In: the table of scored documents. Out: figures and flat metrics. In between: every figure is a ratio of totals over
documents, and its interval draws whole documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.core.files import sha256_bytes
from components.core.intervals import Floats, Group, estimate
from components.core.scores import make_scores
from components.evaluate.config import EvaluateConfig

SCORED = pa.schema([
    pa.field("doc_id", pa.string(), nullable=False),
    pa.field("text_sha256", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("language", pa.string()),
    pa.field("num_tokens", pa.int64(), nullable=False),
    pa.field("num_bytes", pa.int64(), nullable=False),
    pa.field("loss_nats", pa.float64(), nullable=False),
    pa.field("baseline_loss_nats", pa.float64(), nullable=False),
    pa.field("overconfidence", pa.float64(), nullable=False),
    pa.field("int8_loss_nats", pa.float64(), nullable=False),  # of the same model with weights of one byte
])  # fmt: skip
MODEL, BASELINE, INT8 = "loss_nats", "baseline_loss_nats", "int8_loss_nats"
_MOST_SOURCES = 50
_OTHERS = "all other sources"


@dataclass(frozen=True)
class Figures:
    """What a group of documents holds and how a model and the baseline score on it; intervals may be None."""

    name: str
    documents: int
    tokens: int
    bytes: int
    loss_per_token: float
    bits_per_byte: float
    interval: tuple[float, float] | None
    baseline_bits_per_byte: float
    baseline_interval: tuple[float, float] | None
    difference_interval: tuple[float, float] | None
    overconfidence: float
    int8_bits_per_byte: float

    @property
    def perplexity(self) -> float:
        """Exponential of the loss per token; infinite where that is beyond a float."""
        return math.exp(self.loss_per_token) if self.loss_per_token < 700 else math.inf


def summarise(scored: pa.Table, config: EvaluateConfig) -> Figures:
    """The figures of all documents."""
    return _figures("all documents", scored, config)


def summarise_sources(scored: pa.Table, config: EvaluateConfig) -> list[Figures]:
    """The figures of each source, those with most documents first; what goes beyond fifty is one group."""
    counted = pc.value_counts(scored.column("source")).to_pylist()
    names = [entry["values"] for entry in sorted(counted, key=lambda entry: (-entry["counts"], entry["values"]))]
    return [_figures(name, rows, config) for name, rows in _groups(scored, names)]


def metrics(overall: Figures, sources: Sequence[Figures]) -> dict[str, float]:
    """All figures flat, as they stand in the report."""
    found: dict[str, float] = {
        "documents": overall.documents, "tokens": overall.tokens, "bytes": overall.bytes,
        "loss_per_token": overall.loss_per_token, "perplexity": overall.perplexity,
        "overconfidence": overall.overconfidence, "int8_bits_per_byte": overall.int8_bits_per_byte,
    }  # fmt: skip
    found |= _with_ends("bits_per_byte", overall.bits_per_byte, overall.interval)
    found |= _with_ends("baseline_bits_per_byte", overall.baseline_bits_per_byte, overall.baseline_interval)
    for figures in sources:
        name = f"bits_per_byte_of_{safe_name(figures.name)}"
        found |= _with_ends(name, figures.bits_per_byte, figures.interval)
    return found


def score_tables(scored: pa.Table) -> list[pa.Table]:
    """What the gate compares of the scored documents, in slices by source and by language."""
    columns = {name: scored.column(name).to_pylist() for name in ("doc_id", "text_sha256", "source", "language")}
    slices = [[f"source:{source}", f"language:{language or 'unknown'}"]
              for source, language in zip(columns["source"], columns["language"], strict=True)]  # fmt: skip
    named = columns["doc_id"], columns["text_sha256"]
    tokens, size = _column(scored, "num_tokens"), _column(scored, "num_bytes")
    bits, int8_bits = (_column(scored, name) / math.log(2) for name in (MODEL, INT8))
    return [
        make_scores("bits_per_byte", *named, bits, size, slices),
        make_scores("int8_cost", *named, int8_bits - bits, size, slices),
        make_scores("overconfidence", *named, _column(scored, "overconfidence"), tokens, slices),
    ]


def safe_name(name: str) -> str:
    """A source's name as part of a metric's name: letters, digits and underscores, and different for each source."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60]
    return plain if plain == name else f"{plain}_{sha256_bytes(name.encode())[:6]}"


def _groups(scored: pa.Table, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    alone = names if len(names) <= _MOST_SOURCES else names[: _MOST_SOURCES - 1]
    for name in alone:
        yield name, scored.filter(pc.equal(scored.column("source"), name))
    if len(alone) < len(names):
        yield _OTHERS, scored.filter(pc.invert(pc.is_in(scored.column("source"), pa.array(alone))))


def _figures(name: str, rows: pa.Table, config: EvaluateConfig) -> Figures:
    tokens, size = _column(rows, "num_tokens"), _column(rows, "num_bytes")
    model, baseline = (_column(rows, column) / math.log(2) for column in (MODEL, BASELINE))
    return Figures(
        name, rows.num_rows, int(tokens.sum()), int(size.sum()),
        loss_per_token=float(_column(rows, MODEL).sum() / tokens.sum()),
        bits_per_byte=float(model.sum() / size.sum()), interval=_interval(model, size, config),
        baseline_bits_per_byte=float(baseline.sum() / size.sum()),
        baseline_interval=_interval(baseline, size, config),
        difference_interval=_interval(model - baseline, size, config),
        overconfidence=float(_column(rows, "overconfidence").sum() / tokens.sum()),
        int8_bits_per_byte=float(_column(rows, INT8).sum() / math.log(2) / size.sum()),
    )  # fmt: skip


def _interval(bits: Floats, size: Floats, config: EvaluateConfig) -> tuple[float, float] | None:
    found = estimate([Group(bits, size)], level=config.level, num_resamples=config.num_resamples, seed=config.seed)
    return (found.low, found.high) if found else None


def _column(rows: pa.Table, name: str) -> Floats:
    values: Floats = rows.column(name).to_numpy().astype(np.float64)
    return values


def _with_ends(name: str, value: float, interval: tuple[float, float] | None) -> dict[str, float]:
    ends = {f"{name}_low": interval[0], f"{name}_high": interval[1]} if interval else {}
    return {name: value, **ends}
