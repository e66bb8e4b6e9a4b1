"""Intervals around a ratio of totals over documents, such as bits per byte.

In: one total and one size per document. Out: a bootstrap percentile interval (Efron and Tibshirani 1993,
section 13.3). In between: whole documents are drawn, because the tokens of one document are not independent;
the draws are seeded and summed in a fixed order, so equal scores give equal intervals.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_DRAWS_AT_ONCE = 2_000_000


def ratio_interval(
    totals: Floats, sizes: Floats, *, level: float, num_resamples: int, seed: int
) -> tuple[float, float] | None:
    """Low and high end of ``sum(totals) / sum(sizes)`` at ``level``; None for fewer than two documents.

    ``totals`` and ``sizes`` have one entry per document; the difference of two models on the same documents is
    the ratio of the documents' differences.  # [num_documents]
    """
    if len(totals) < 2:
        return None
    random = np.random.Generator(np.random.PCG64(seed))
    rows = max(1, _DRAWS_AT_ONCE // len(totals))
    ratios = []
    for begin in range(0, num_resamples, rows):
        drawn = random.integers(0, len(totals), size=(min(rows, num_resamples - begin), len(totals)))
        ratios.append(totals[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(ratios), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
