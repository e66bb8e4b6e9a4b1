"""What a version of a source is like, and how far this one is from the last that was accepted.

In: the table of ``features.measure`` or of ``streams.measure``, what a stage dropped, and a reference. Out: a profile,
and a table of distances, one row for each source that is in either. In between: the reference is a profile that was
accepted and put into the project; params.yaml names it with its digest, so it is a value like any other: the cache
sees it change, and both drivers compare with the same. A distance is the total variation of two histograms (half the
sum of the absolute differences), a number from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from components.core.documents import REJECTS
from components.core.errors import InputError
from components.core.pinned import PinnedFile

FILE = "profile.json"
_DIGITS, _RANGES = 6, 64
Shares = dict[str, float]
Counts = npt.NDArray[np.int64]
Lengths = TypeVar("Lengths", pl.Series, pl.Expr)


class SourceProfile(BaseModel):
    """One source: its share of the documents, and histograms of them."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    share: float
    lengths: Shares
    languages: Shares
    rules: Shares


class Profile(BaseModel):
    """All sources. Lengths are by the power of two; rules by the share of documents that they dropped.

    Of tokens besides: ``vocabulary``, the shares of train's tokens by ranges of their numbers.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    sources: dict[str, SourceProfile]
    vocabulary: Shares = {}


def describe(measured: pl.DataFrame, subject: Path) -> Profile:
    """The profile of texts: their measured documents, and the documents that the stage dropped."""
    return Profile(sources=_sources(measured, _dropped(subject), "num_characters"))


def describe_tokens(measured: pl.DataFrame, counts: Counts) -> Profile:
    """The profile of tokens: their measured documents, and how often each token stands in train."""
    ranges = [int(part.sum()) for part in np.array_split(counts, _RANGES)]
    vocabulary = {str(place): round(num / max(1, sum(ranges)), _DIGITS) for place, num in enumerate(ranges)}
    return Profile(sources=_sources(measured, {}, "num_stream_tokens"), vocabulary=vocabulary)


def read_reference(pinned: PinnedFile) -> Profile:
    """The profile that params.yaml names. Raises InputError."""
    try:
        return Profile.model_validate_json(pinned.read())
    except ValidationError as error:
        fix = "pin a profile.json of this check"
        raise InputError(pinned.path, found=str(error).splitlines()[0], expected="a profile", fix=fix) from None


def distances(now: Profile, before: Profile) -> pl.DataFrame:
    """For each source: change of its share, distance of lengths and languages, largest change of a rule's rate;
    and, the same for each, the distance of the vocabularies.

    A source that is only in one of both has its whole share as change, and nothing else to compare.
    """
    names = sorted(now.sources.keys() | before.sources.keys())
    schema = {"source": pl.String, **dict.fromkeys(MEASURES, pl.Float64)}
    return pl.DataFrame([_row(name, now, before) for name in names], schema=schema)


MEASURES = ("share_change", "length_distance", "language_distance", "rule_change", "vocabulary_distance")


def _row(name: str, now: Profile, before: Profile) -> dict[str, Any]:
    one, other = now.sources.get(name), before.sources.get(name)
    shares = (one.share if one else 0.0), (other.share if other else 0.0)
    row: dict[str, Any] = {"source": name, **dict.fromkeys(MEASURES), "share_change": abs(shares[0] - shares[1])}
    if one and other:
        row["length_distance"] = _variation(one.lengths, other.lengths)
        row["language_distance"] = _variation(one.languages, other.languages)
    if now.vocabulary:
        row["vocabulary_distance"] = _variation(now.vocabulary, before.vocabulary)
    elif one and other:
        row["rule_change"] = max(_differences(one.rules, other.rules), default=0.0)
    return row


def _differences(one: Shares, other: Shares) -> list[float]:
    return [abs(one.get(key, 0.0) - other.get(key, 0.0)) for key in one.keys() | other.keys()]


def _variation(one: Shares, other: Shares) -> float:
    return sum(sorted(_differences(one, other))) / 2


def powers_of_two(lengths: Lengths) -> Lengths:
    """The power of two at or below each length; 0 for an empty one."""
    return lengths.cast(pl.Float64).clip(1).log(2).floor().cast(pl.Int64)


def _sources(measured: pl.DataFrame, dropped: Mapping[str, Mapping[str, int]], length: str) -> dict[str, SourceProfile]:
    keys = pl.col("source", "language").fill_null(""), powers_of_two(pl.col(length)).alias("power")
    counts = measured.lazy().group_by(keys).len("num").collect(engine="streaming")
    parts = {str(name): part for (name,), part in counts.partition_by("source", as_dict=True).items()}
    return {name: _source(part, dropped.get(name, {}), measured.height) for name, part in sorted(parts.items())}


def _source(part: pl.DataFrame, dropped: Mapping[str, int], total: int) -> SourceProfile:
    num_documents = int(part["num"].sum())
    received = num_documents + sum(dropped.values())
    return SourceProfile(
        share=round(num_documents / total, _DIGITS),
        lengths=_shares(part, "power"),
        languages=_shares(part, "language"),
        rules={reason: round(num / received, _DIGITS) for reason, num in sorted(dropped.items())},
    )


def _shares(part: pl.DataFrame, column: str) -> Shares:
    counts = part.group_by(column).agg(pl.col("num").sum()).sort(column)
    total = int(part["num"].sum())
    return {str(value): round(num / total, _DIGITS) for value, num in counts.iter_rows()}


def _dropped(subject: Path) -> dict[str, dict[str, int]]:
    """How many documents of each source the stage dropped for each reason; none where it keeps no rejects."""
    path, found = subject / REJECTS, dict[str, dict[str, int]]()
    if path.exists():
        counts = pl.scan_parquet(path).group_by("source", "reason").len().collect()
        for source, reason, num in counts.iter_rows():
            found.setdefault(source, {})[reason] = num
    return found
