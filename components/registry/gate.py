"""The rule by which a challenger becomes champion.

In: the scores of a challenger and of the champion on held-out documents. Out: promote, keep or inconclusive.
In between: both are compared document by document on identical texts, by the difference in bits per byte and a
bootstrap interval over documents. Whatever cannot be compared is not promoted.

Covered: a better mean on the same documents, beyond a margin fixed in advance. Not covered: slices, repeated
looks at the same documents, anything but bits per byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq

from components.core.errors import GateError
from components.core.files import digest_of
from components.core.intervals import Floats, ratio_interval
from components.registry.config import PromoteConfig

Outcome = Literal["promote", "keep", "inconclusive"]
DOCUMENTS = "documents.parquet"
_IDENTITY, _SIZE, _LOSS = ["doc_id", "text_sha256"], "num_bytes", "loss_nats"
# What a model scores that has learned nothing at all and gives every byte the same probability.
_BITS_PER_BYTE_OF_NOTHING = 8.0


@dataclass(frozen=True)
class Scores:
    """Per document: what it is, its size in bytes and the model's loss in nats, in one order."""

    evaluation_set: str
    num_bytes: Floats
    loss_nats: Floats

    @property
    def bits_per_byte(self) -> float:
        """Over all documents."""
        return float(self.loss_nats.sum() / math.log(2) / self.num_bytes.sum())


@dataclass(frozen=True)
class Verdict:
    """The outcome, why, and the difference in bits per byte (challenger minus champion) with its interval."""

    outcome: Outcome
    reason: str
    difference: float | None = None
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        lines = [self.outcome, f"  {self.reason}"]
        if self.difference is not None and self.interval is not None:
            low, high = self.interval
            lines.append(f"  difference {self.difference:+.4f} bits per byte, interval {low:+.4f} to {high:+.4f}")
        return "\n".join(lines)


def read_scores(evaluation: Path) -> Scores:
    """The scores of an evaluation. Raises GateError where one is missing, not finite or without bytes."""
    table = pq.read_table(evaluation / DOCUMENTS, columns=[*_IDENTITY, _SIZE, _LOSS]).sort_by("doc_id")
    size, loss = (table.column(name).to_numpy().astype(np.float64) for name in (_SIZE, _LOSS))
    if not len(size) or not np.isfinite(loss).all() or not size.sum() > 0:
        found = f"{len(size)} documents, {int((~np.isfinite(loss)).sum())} of them without a finite loss"
        fix = "look at the training's page for a loss that is not a number; give evaluate documents to score"
        raise GateError(str(evaluation), found=found, expected="a finite loss for every document", fix=fix)
    identities = [list(column) for column in table.select([*_IDENTITY, _SIZE]).to_pydict().values()]
    return Scores(digest_of({"documents": identities}), size, loss)


def judge_first(challenger: Scores) -> Verdict:
    """The verdict where there is no champion: whoever has learned anything at all may be the first.

    The bar is the score of uniform bytes and not the 5-gram baseline: with nobody to protect, a first small model
    is worth more behind the alias than nothing, and the baseline stands beside it in every report.
    """
    found = challenger.bits_per_byte
    is_better = found < _BITS_PER_BYTE_OF_NOTHING
    reason = f"no champion yet; {found:.4f} bits per byte, uniform bytes score {_BITS_PER_BYTE_OF_NOTHING:.0f}"
    return Verdict("promote" if is_better else "keep", reason)


def judge(challenger: Scores, champion: Scores, config: PromoteConfig) -> Verdict:
    """Compare two models on identical documents.

    ``promote`` when the whole interval of the difference lies below minus the margin, ``keep`` when none of it
    does, ``inconclusive`` otherwise and whenever the documents are not the same.
    """
    if challenger.evaluation_set != champion.evaluation_set:
        return Verdict("inconclusive", "the champion was scored on other documents; nothing can be compared")
    bits = (challenger.loss_nats - champion.loss_nats) / math.log(2)
    interval = ratio_interval(
        bits, champion.num_bytes, level=config.level, num_resamples=config.num_resamples, seed=config.seed
    )
    if interval is None:
        return Verdict("inconclusive", "one document is too few to tell models apart")
    outcome = _outcome(interval, config.margin_bits_per_byte)
    reason = (
        f"challenger {challenger.bits_per_byte:.4f}, champion {champion.bits_per_byte:.4f} bits per byte on "
        f"{len(bits):,} identical documents, margin {config.margin_bits_per_byte:g}"
    )
    return Verdict(outcome, reason, float(bits.sum() / champion.num_bytes.sum()), interval)


def _outcome(interval: tuple[float, float], margin: float) -> Outcome:
    low, high = interval
    if high < -margin:
        return "promote"
    return "keep" if low >= -margin else "inconclusive"
