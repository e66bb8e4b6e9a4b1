"""One metric of one model, and how much worse one model is than another in it.

In: the score tables of two evaluations (``components.core.scores``). Out: an estimate with its interval.
In between: scores are read strictly, rows of one document are added up before anything is drawn, and what was not
measured on the same items is told apart by its identity, never aligned by position.

Signs: a difference is always "how much worse the challenger is", whichever direction of the metric is worse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.errors import GateError
from components.core.files import digest_of
from components.core.intervals import Estimate, Floats, Group, estimate
from components.core.scores import FILE, SCORES

Mask = npt.NDArray[np.bool_]
POWER = 0.8
_DRAWS_BEYOND_AN_END = 20


@dataclass(frozen=True)
class Settings:
    """How intervals are drawn: two-sided ``level``, bootstrap resamples, seed."""

    level: float
    num_resamples: int
    seed: int

    @property
    def tail(self) -> float:
        """The chance of an error at one end."""
        return (1 - self.level) / 2

    @property
    def resamples_needed(self) -> int:
        """Enough that an end of the interval rests on twenty draws beyond it."""
        return max(self.num_resamples, math.ceil(_DRAWS_BEYOND_AN_END / self.tail))

    def estimate(self, groups: Sequence[Group], *, is_paired: bool = False) -> Estimate | None:
        """The weighted sum of the groups' ratios with its interval."""
        return estimate(
            groups, level=self.level, num_resamples=self.resamples_needed, seed=self.seed, is_paired=is_paired
        )


@dataclass(frozen=True)
class Metric:
    """The rows of one metric, in the order of their documents and items."""

    name: str
    documents: tuple[str, ...]
    items: tuple[str, ...]
    slices: tuple[tuple[str, ...], ...]
    totals: Floats
    sizes: Floats

    @cached_property
    def identity(self) -> str:
        """Digest of what was scored, whatever the scores are."""
        return digest_of({"rows": [list(row) for row in zip(self.documents, self.items, self.slices, strict=True)]})

    @property
    def is_property(self) -> bool:
        """Whether it belongs to the model itself, so that it is compared exactly."""
        return set(self.documents) == {""}

    @property
    def all_rows(self) -> Mask:
        """Every row."""
        return np.ones(len(self.documents), np.bool_)

    def value(self, rows: Mask | None = None) -> float:
        """The metric over some rows, all unless given."""
        chosen = self.all_rows if rows is None else rows
        return float(self.totals[chosen].sum() / self.sizes[chosen].sum())

    def group(self, rows: Mask, weight: float) -> Group:
        """The documents of some rows, the rows of each added up."""
        _, number = np.unique(np.array(self.documents)[rows], return_inverse=True)
        totals, sizes = (np.bincount(number, column[rows]).astype(np.float64) for column in (self.totals, self.sizes))
        return Group(totals, sizes, weight)

    def estimate(self, settings: Settings, sign: int = 1) -> Estimate | None:
        """``sign`` times the metric over all rows, with its interval."""
        return settings.estimate([self.group(self.all_rows, sign)])

    def in_words(self, settings: Settings) -> str:
        """The metric over all rows, and from where to where it may lie."""
        found = self.estimate(settings)
        return f"{self.value():.3g}" + (f" ({found.low:.3g} to {found.high:.3g})" if found else "")

    def slices_by(self, kind: str, min_documents: int) -> dict[str, Mask]:
        """The slices of one kind, largest first; small ones are joined, with the smallest large one if need be."""
        names = sorted({name for row in self.slices for name in row if name.startswith(f"{kind}:")})
        masks = {name.partition(":")[2]: self._rows_in(name) for name in names}
        return _join_small(masks, np.array(self.documents), min_documents)

    def _rows_in(self, name: str) -> Mask:
        return np.array([name in row for row in self.slices], np.bool_)


def read_metrics(evaluation: Path) -> dict[str, Metric]:
    """All metrics of an evaluation by their names. Raises GateError for scores that are missing or not finite."""
    path = evaluation / FILE
    if not path.is_file():
        raise _refuse(path, "no such file", "the scores of an evaluation")
    table = pq.read_table(path)
    if not table.schema.equals(SCORES) or not table.num_rows:
        raise _refuse(path, f"{table.num_rows} rows of {', '.join(table.column_names)}", "the columns of scores")
    names = pc.unique(table.column("metric")).to_pylist()
    return {name: _read_metric(path, name, table.filter(pc.equal(table.column("metric"), name))) for name in names}


def compare(
    challenger: Metric, champion: Metric, rows: Mask, sign: int, relative_margin: float, settings: Settings, *,
    is_paired: bool,
) -> Estimate | None:  # fmt: skip
    """How much worse the challenger is; ``sign`` is 1 where higher is worse, -1 where lower is.

    With a relative margin the interval is that of the difference beyond ``relative_margin`` of the champion's
    value, moved back by that value, so that the champion's own error counts.
    """
    allowed = relative_margin * champion.value(rows if is_paired else None)
    if challenger.is_property:
        found = sign * (challenger.value() - champion.value())
        return Estimate(found, found, found, 0.0, 1)
    groups = [
        challenger.group(rows if is_paired else challenger.all_rows, sign),
        champion.group(rows if is_paired else champion.all_rows, -(sign + relative_margin)),
    ]
    found_estimate = settings.estimate(groups, is_paired=is_paired)
    return found_estimate and _moved(found_estimate, allowed)


def with_doubt(found: Estimate, most_of_one: float | None, settings: Settings) -> Estimate:
    """``found``, and where all documents agree exactly, the doubt that so few of them leave.

    After n documents without an event, its chance is below ``1 - tail ** (1 / n)`` (Clopper and Pearson 1934); one
    document can change the metric by ``most_of_one`` at most.
    """
    if found.error > 0 or most_of_one is None:
        return found
    doubt = most_of_one * (1 - settings.tail ** (1 / found.num_documents))
    return found._replace(low=found.value - doubt, high=found.value + doubt)


def documents_needed(found: Estimate, bound: float, settings: Settings) -> int | None:
    """How many documents would tell in four of five tries on which side of ``bound`` a difference as seen lies."""
    distance = abs(found.value - bound)
    if not distance > 0 or not found.error > 0:
        return None
    return math.ceil(found.num_documents * (detectable(found, settings) / distance) ** 2)


def detectable(found: Estimate, settings: Settings) -> float:
    """The difference that these documents show in four of five tries (a power of 0.8)."""
    quantile = NormalDist().inv_cdf
    return (quantile(1 - settings.tail) + quantile(POWER)) * found.error


def _moved(found: Estimate, by: float) -> Estimate:
    return found._replace(value=found.value + by, low=found.low + by, high=found.high + by)


def _read_metric(path: Path, name: str, table: pa.Table) -> Metric:
    table = table.sort_by([("document", "ascending"), ("item", "ascending")])
    totals, sizes = (table.column(column).to_numpy().astype(np.float64) for column in ("total", "size"))
    if odd := int((~np.isfinite(totals) | ~np.isfinite(sizes) | (sizes < 0)).sum()):
        raise _refuse(path, f"{odd} of {len(totals)} scores of {name} without a finite value", "finite scores")
    if not sizes.sum() > 0:
        raise _refuse(path, f"{name} over nothing", "something to divide by")
    columns = [table.column(column).to_pylist() for column in ("document", "item", "slices")]
    return Metric(name, tuple(columns[0]), tuple(columns[1]), tuple(tuple(row) for row in columns[2]), totals, sizes)


def _join_small(masks: Mapping[str, Mask], documents: npt.NDArray[np.str_], least: int) -> dict[str, Mask]:
    counts = {name: len(np.unique(documents[mask])) for name, mask in masks.items()}
    large = sorted((name for name in masks if counts[name] >= least), key=lambda name: (-counts[name], name))
    small = [name for name in masks if counts[name] < least]
    if not small:
        return {name: masks[name] for name in large}
    if large and len(np.unique(documents[_union(masks, small)])) < least:
        small.append(large.pop())
    return {name: masks[name] for name in large} | {_label(small): _union(masks, small)}


def _union(masks: Mapping[str, Mask], names: Sequence[str]) -> Mask:
    joined: Mask = np.any([masks[name] for name in names], axis=0)
    return joined


def _label(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[-1]} and {len(names) - 1} small"


def _refuse(path: Path, found: str, expected: str) -> GateError:
    fix = "look at the training's page for a loss that is not a number, then `pedigree run evaluate`"
    return GateError(str(path), found=found, expected=expected, fix=fix)
