"""Figures with intervals: each metric of the model, of each floor, and the differences between them.

In: rows of numbers per question (``metrics``), for the model and for floors. Out: figures. In between: groups of
questions (one document, one user) are drawn as wholes. A ratio has the interval of ``components.core.intervals``;
of a metric that is none it is the percentile bootstrap's (Efron and Tibshirani 1993, section 13.3), which draws the
same groups from both sides of a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.assess.config import AssessConfig
from components.assess.metrics import METRICS, Floats, Metric
from components.assess.questions import Question, Said
from components.core.intervals import Group, estimate


@dataclass(frozen=True)
class Measured:
    """A value and the interval around it; None where there is one group alone."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Beside:
    """A floor's value, and by how much the model is above it."""

    floor: str
    value: float
    difference: Measured


@dataclass(frozen=True)
class Figures:
    """One metric: of the model, and of each floor that it can be measured on."""

    name: str
    metric: Metric
    model: Measured
    floors: tuple[Beside, ...]

    @property
    def best_floor(self) -> Beside | None:
        """The floor that is hardest to beat."""
        sign = 1 if self.metric.better == "higher" else -1
        return max(self.floors, key=lambda beside: sign * beside.value, default=None)

    @property
    def is_above(self) -> bool | None:
        """Whether the model is better than every floor beyond the interval; None where that is open."""
        if (best := self.best_floor) is None or best.difference.low is None or best.difference.high is None:
            return None
        low, high = best.difference.low, best.difference.high
        if self.metric.better == "lower":
            low, high = -high, -low
        return True if low > 0 else False if high < 0 else None


def measure(
    names: Sequence[str], questions: Sequence[Question], said: Sequence[Said], floors: Mapping[str, Sequence[Said]],
    config: AssessConfig,
) -> list[Figures]:  # fmt: skip
    """The figures of each metric, in their order."""
    groups = np.unique([question.group for question in questions], return_inverse=True)[1]
    found = []
    for name in names:
        metric = METRICS[name]
        if not metric.can_measure(said):
            continue
        rows = _by_group(metric.rows(questions, said), groups)
        beside = []
        for floor, answers in floors.items():
            if metric.can_measure(answers):
                others = _by_group(metric.rows(questions, answers), groups)
                difference = _interval(metric, config, rows, others)
                beside.append(Beside(floor, metric.of(others.sum(axis=0)), difference))
        found.append(Figures(name, metric, _interval(metric, config, rows), tuple(beside)))
    return found


def _by_group(rows: Floats, groups: npt.NDArray[np.intp]) -> Floats:
    """The sums of the rows of each group.  # [N, k] → [G, k]"""
    sums = np.zeros((int(groups.max()) + 1, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return sums


def _interval(metric: Metric, config: AssessConfig, *sides: Floats) -> Measured:
    """Of one side, or of the difference of the first from the second."""
    signs = (1.0, -1.0)[: len(sides)]
    value = sum(sign * metric.of(side.sum(axis=0)) for sign, side in zip(signs, sides, strict=True))
    if len(sides[0]) < 2 or (metric.value is None and any(side[:, 1].sum() == 0 for side in sides)):
        return Measured(value)
    if metric.value is None:
        parts = [Group(side[:, 0], side[:, 1], sign) for sign, side in zip(signs, sides, strict=True)]
        found = estimate(
            parts, level=config.level, num_resamples=config.num_resamples, seed=config.seed, is_paired=len(sides) > 1
        )
        return Measured(value, found.low, found.high) if found else Measured(value)
    random, drawn = np.random.Generator(np.random.PCG64(config.seed)), []
    for _ in range(config.num_resamples):
        counts = np.bincount(random.integers(0, len(sides[0]), len(sides[0])), minlength=len(sides[0]))
        drawn.append(sum(sign * metric.of(counts @ side) for sign, side in zip(signs, sides, strict=True)))
    low, high = np.quantile(drawn, [(1 - config.level) / 2, (1 + config.level) / 2])
    return Measured(value, float(low), float(high))
