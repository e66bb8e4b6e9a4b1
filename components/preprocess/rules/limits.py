"""What all rules that measure a text share: a measure, its bounds, and the sentence that a reject carries.

In: measures by name and limits. Out: for each text the first limit that it breaks. In between: a bound of None is
switched off; the detail holds the value and the limit, so that a reader can check the decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Limit(NamedTuple):
    """The reason under which a text is dropped when ``measure`` lies below ``low`` or above ``high``."""

    reason: str
    measure: str
    low: float | None = None
    high: float | None = None


class Verdicts(NamedTuple):
    """Reason and detail of each text, None where it is kept."""

    reasons: list[str | None]
    details: list[str | None]

    @classmethod
    def of(cls, num_texts: int) -> Self:
        """Nobody dropped yet."""
        return cls([None] * num_texts, [None] * num_texts)

    def drop(self, row: int, reason: str, detail: str) -> None:
        """Drop a text, unless it was dropped before."""
        if self.reasons[row] is None:
            self.reasons[row], self.details[row] = reason, detail


def judge(verdicts: Verdicts, measures: Mapping[str, NDArray[np.float64]], limits: Iterable[Limit]) -> None:
    """Drop each text for the first limit, in their order, that it breaks."""
    for limit in limits:
        values = measures[limit.measure]
        for row in np.flatnonzero(_breaks(values, limit)):
            verdicts.drop(int(row), limit.reason, _tell(float(values[row]), limit))


def _breaks(values: NDArray[np.float64], limit: Limit) -> NDArray[np.bool_]:
    below = values < limit.low if limit.low is not None else np.zeros(len(values), bool)
    above = values > limit.high if limit.high is not None else np.zeros(len(values), bool)
    return below | above


def _tell(value: float, limit: Limit) -> str:
    is_below = limit.low is not None and value < limit.low
    bound = f"at least {limit.low:g}" if is_below else f"at most {limit.high:g}"
    return f"{limit.measure} {value:.6g}, {bound}"
