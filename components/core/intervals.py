"""Intervals around ratios of totals over documents, such as bits per byte, and around differences of such ratios.

In: one total and one size per document. Out: the ratio, its standard error and an interval. In between: documents count
as wholes, because the tokens of one are not independent. Each end is the further one of two (decision 0064): of the
bootstrap-t interval (Efron and Tibshirani 1993, section 12.5), which follows a skew, and of Student's t with as many
documents as the sizes are worth (Kish 1965, section 11.7), which knows how little few or unequal documents tell. The
error is the jackknife's: it leaves out each document once, so that a large one does not hide its own residual. Draws
are seeded and summed in a fixed order, so equal scores give equal intervals.

Two models on the same documents are two paired groups: a draw takes the same documents from both, and what the models
share falls out of the difference. On different documents they are drawn apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_DRAWS_AT_ONCE = 1_000_000
# A draw that misses the few documents that differ has hardly any error of its own; it is given this share of ours.
_LEAST_SHARE_OF_ERROR = 0.5
# What sums of equal documents differ by.
_ROUNDING = 1e-12


class Group(NamedTuple):
    """Documents: a total and a size of each, and the factor with which their ratio counts.  # [num_documents]"""

    totals: Floats
    sizes: Floats
    weight: float = 1.0


class Estimate(NamedTuple):
    """A value, the interval around it, its standard error, and how many documents there are (of the fewest)."""

    value: float
    low: float
    high: float
    error: float
    num_documents: int


def estimate(
    groups: Sequence[Group], *, level: float, num_resamples: int, seed: int, is_paired: bool = False
) -> Estimate | None:
    """The sum of ``weight * sum(totals) / sum(sizes)`` over groups; None where so few documents have any size that
    there are draws without one of them.

    With ``is_paired`` entry i of every group is the same document.
    """
    fewest = min(len(group.totals) for group in groups)
    if fewest < 2:
        return None
    value, error = map(float, _value_and_error(groups, is_paired))
    degrees = min(_effective_documents(group.sizes) for group in groups) - 1
    if degrees <= _ROUNDING:
        return None
    if error <= _ROUNDING * abs(value):
        return Estimate(value, value, value, 0.0, fewest)
    random = np.random.Generator(np.random.PCG64(seed))
    draws = [_value_and_error(drawn, is_paired) for drawn in _draw(groups, num_resamples, random, is_paired)]
    values, errors = np.concatenate(draws, axis=1)
    if not np.isfinite(values).all():
        return None
    studentised = (values - value) / np.maximum(errors, _LEAST_SHARE_OF_ERROR * error)
    low, high = map(float, np.quantile(studentised, [(1 - level) / 2, (1 + level) / 2]))
    reach = _quantile_of_t((1 + level) / 2, degrees)
    return Estimate(value, value - max(high, reach) * error, value - min(low, -reach) * error, error, fewest)


def _quantile_of_t(probability: float, degrees: float) -> float:
    from scipy.special import stdtrit  # a third of a second, which a run with nothing to do need not wait for

    return float(stdtrit(degrees, probability))


def _draw(
    groups: Sequence[Group], num_resamples: int, random: np.random.Generator, is_paired: bool
) -> Iterator[list[Group]]:
    """Resamples of the documents, some at a time.  # totals and sizes [rows, num_documents]"""
    rows = max(1, _DRAWS_AT_ONCE // max(len(group.totals) for group in groups))
    for begin in range(0, num_resamples, rows):
        shapes = [(min(rows, num_resamples - begin), len(group.totals)) for group in groups]
        drawn = [random.integers(0, shape[1], shape) for shape in (shapes[:1] if is_paired else shapes)]
        positions = drawn * len(groups) if is_paired else drawn
        yield [Group(g.totals[at], g.sizes[at], g.weight) for g, at in zip(groups, positions, strict=True)]


def _value_and_error(groups: Sequence[Group], is_paired: bool) -> Floats:
    """The weighted sum of ratios and its standard error.  # [..., num_documents] -> [2, ...]"""
    found = [_ratio_and_influence(group) for group in groups]
    influences = [influence for _, influence in found]
    variance = sum(map(_variance, [np.sum(influences, axis=0)] if is_paired else influences))
    return np.stack([sum(ratio for ratio, _ in found), np.sqrt(variance)])


def _variance(influence: Floats) -> Floats:
    return np.asarray((influence * influence).sum(axis=-1))


def _ratio_and_influence(group: Group) -> tuple[Floats, Floats]:
    """The weighted ratio of the sums, and by how much each document moves it.  # [...], [..., num_documents]"""
    size = group.sizes.sum(axis=-1)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw of nothing but documents without a size
        ratio = group.totals.sum(axis=-1) / size[..., 0]
        others = np.maximum(size - group.sizes, _ROUNDING * size)
        influence = (group.totals - ratio[..., None] * group.sizes) / others
    return group.weight * ratio, group.weight * influence


def _effective_documents(sizes: Floats) -> float:
    """How many documents of equal size would tell as much."""
    return float(sizes.sum() ** 2 / (sizes * sizes).sum())
