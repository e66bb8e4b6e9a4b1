"""How much of each source is kept: caps by bytes, and a mixture by weights.

In: how many bytes of text each source has at each place. Out: for each source the place from which its documents are
left out. In between: a document's place is a 16-bit hash of its text and the seed, so which documents stay does not
depend on their order, and a larger cap takes away none that a smaller one keeps. A cap is never exceeded, and misses
at most what lies at one place of 65,536.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from components.core.errors import ParamsError

NUM_PLACES = 1 << 16
Bytes = npt.NDArray[np.int64]


def assign_places(digests: Iterable[bytes], seed: int) -> list[int]:
    """The place of each text, uniform over digests and independent of its split."""
    salt = b"place" + seed.to_bytes(8, "big")
    return [int.from_bytes(hashlib.sha256(salt + digest).digest()[:2], "big") for digest in digests]


def limits(bytes_at: Mapping[str, Bytes], caps: Mapping[str, int], mixture: Mapping[str, float]) -> dict[str, int]:
    """For each source the first place that is left out; NUM_PLACES when all of it stays.

    With a mixture, the kept bytes of the sources have its proportions and are as many as the caps and the scarcest
    source allow. Raises ParamsError when the mixture names other sources than there are.
    """
    sizes = {name: min(int(places.sum()), caps.get(name, 1 << 62)) for name, places in bytes_at.items()}
    if mixture and sizes:
        _check_names(set(sizes), set(mixture))
        unit = min(sizes[name] / weight for name, weight in mixture.items() if weight > 0)
        sizes = {name: int(unit * mixture[name]) for name in sizes}
    ends = {name: np.searchsorted(np.cumsum(places), sizes[name], side="right") for name, places in bytes_at.items()}
    return {name: int(end) for name, end in ends.items()}


def _check_names(found: set[str], named: set[str]) -> None:
    if odd := sorted(found ^ named):
        lack = "has no weight" if odd[0] in found else "has no document left"
        raise ParamsError(
            "params.yaml, preprocess.mixture", found=f"the source {odd[0]} {lack}",
            expected=f"a weight for each of {', '.join(sorted(found))}", fix="name each source once; 0 leaves one out",
        )  # fmt: skip
