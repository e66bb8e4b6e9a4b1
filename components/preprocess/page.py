"""The page of a preprocessing: how many documents each rule dropped, of each source, with samples of the dropped.

In: the report, counts by source, and what was dropped. Out: the bytes of one HTML file. In between: nothing is read
from a disk; what was dropped is shown as text, escaped, and equal outputs give equal pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from components.core.pages import Figure, Html, details, figures, page, percent, preformatted, section, table
from components.core.plots import Interval, interval_chart
from components.core.stage import Books, Report
from components.preprocess.split import SPLITS

PAGE = "page.html"
_SAMPLES_OF_A_RULE, _SAMPLE_CHARACTERS = 3, 600


@dataclass(frozen=True)
class Dropped:
    """What was dropped: how many documents by source and rule, and the first few of each rule."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: dict[str, list[Mapping[str, str]]] = field(default_factory=dict)

    @property
    def by_rule(self) -> dict[str, int]:
        """How many documents each rule dropped, in the order of the rules."""
        totals = Counter[str]()
        for (_, rule), num in self.counts.items():
            totals[rule] += num
        return dict(sorted(totals.items()))

    def see(self, rejects: pa.Table) -> None:
        """Take some more rejects into account; of their texts only the samples are looked at."""
        reasons = rejects["reason"].to_pylist()
        self.counts.update(zip(rejects["source"].to_pylist(), reasons, strict=True))
        for row, reason in enumerate(reasons):
            samples = self.samples.setdefault(reason, [])
            if len(samples) < _SAMPLES_OF_A_RULE:
                samples += rejects.slice(row, 1).to_pylist()


def render(report: Report, books: Books, kept: Mapping[str, int], dropped: Dropped) -> bytes:
    """The whole page; ``kept`` are documents by source."""
    lead = f"{books.kept:,} of {books.received:,} documents are kept; each of the others was dropped for one reason."
    return page(
        "Preprocessing",
        figures(*_key_figures(report, books)),
        section("By rule", _by_rule(books), _chart(books)),
        section("By source", _by_source(kept, dropped.counts)),
        section("Samples of what was dropped", *_samples(dropped.samples)),
        lead=lead,
    )


def _key_figures(report: Report, books: Books) -> Iterator[Figure]:
    yield Figure("documents kept", books.kept, percent(books.kept / max(1, books.received)))
    yield Figure("text", f"{report.metrics['text_bytes'] / 1e6:,.1f} MB", "of UTF-8")
    splits = [f"{name}_documents" for name in SPLITS]
    yield from (Figure(name.replace("_", " "), report.metrics[name]) for name in splits)
    mended = {name: value for name, value in report.metrics.items() if name not in (*splits, "text_bytes")}
    yield from (Figure(name.replace("_", " "), value) for name, value in sorted(mended.items()) if value)


def _by_rule(books: Books) -> Html:
    rows = [(rule, num, percent(num / max(1, books.received))) for rule, num in _most_first(books.dropped)]
    return table("Documents that each rule dropped", ["rule", "documents", "share of all"], rows)


def _chart(books: Books) -> Html:
    bars = [Interval(rule, float(num), None, None) for rule, num in _most_first(books.dropped)]
    return interval_chart("Documents dropped, by rule", bars, unit="documents") if bars else Html("")


def _by_source(kept: Mapping[str, int], dropped: Mapping[tuple[str, str], int]) -> Html:
    rules = sorted({rule for _, rule in dropped})
    sources = sorted({*kept, *(source for source, _ in dropped)})
    rows = [(source, kept.get(source, 0), *(dropped.get((source, rule), 0) for rule in rules)) for source in sources]
    return table("Documents of each source", ["source", "kept", *rules], rows)


def _samples(of_rule: Mapping[str, Sequence[Mapping[str, str]]]) -> Iterator[Html]:
    """The first few of each rule, opened by the reader."""
    for rule, samples in sorted(of_rule.items()):
        shown = [preformatted(f"{row['uri']}: {row['detail']}", row["text"][:_SAMPLE_CHARACTERS]) for row in samples]
        yield details(rule, *shown)


def _most_first(dropped: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(dropped.items(), key=lambda pair: (-pair[1], pair[0]))
