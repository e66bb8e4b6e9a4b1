"""The page of a validation: the verdict first, then every expectation, then what was measured.

In: a verdict and a measured table. Out: the bytes of a page. In between: documents and examples are named by their
identity and never shown.
"""

from __future__ import annotations

import polars as pl

from components.core import pages
from components.core.pages import Figure, Html, number, percent
from components.core.plots import Interval, interval_chart
from components.core.tokens import SPLITS
from components.validate.drift import powers_of_two
from components.validate.features import SHARES
from components.validate.verdict import Finding, Verdict

_LEAD = "What was expected under the limits in params.yaml, what was observed, and what was set aside."
_EXAMPLES, _SOURCES = 20, 20
_LENGTHS = ("num_prompt_characters", "num_answer_characters")
_QUANTILES = (0.0, 0.01, 0.5, 0.99, 1.0)


def draw(verdict: Verdict, *measured: Html) -> bytes:
    """The whole page."""
    return pages.page(
        f"Checks of the {verdict.subject}",
        pages.verdict(not verdict.failed, _sentence(verdict)),
        _figures(verdict),
        _expectations(verdict),
        *_outside(verdict),
        *measured,
        lead=_LEAD,
    )


def texts_section(measured: pl.DataFrame) -> Html:
    """What documents look like in numbers, and where they come from."""
    columns = ["num_characters", *SHARES]
    rows = [[_words(name), *_quantiles(measured[name])] for name in columns] if measured.height else []
    names = ["measured", "lowest", "1 in 100 below", "middle", "1 in 100 above", "highest"]
    return pages.section("Measured", pages.table("Documents in numbers", names, rows), _sources(measured))


def drift_section(moved: pl.DataFrame) -> Html:
    """How far each source is from the reference."""
    moved = moved.drop(name for name in moved.columns[1:] if moved[name].is_null().all())
    rows = [[row["source"] or "(not stated)", *(row[name] for name in moved.columns[1:])] for row in moved.to_dicts()]
    names = ["source", *map(_words, moved.columns[1:])]
    return pages.section("Since the reference", pages.table("Distances of this version, from 0 to 1", names, rows))


def splits_section(splits: pl.DataFrame, documents: pl.DataFrame) -> Html:
    """What the splits look like in numbers, and how long their documents are."""
    names = [name for name in splits.columns if name not in ("is_covered", "num_out_of_range")]
    rows = [[_words(name), *splits[name].to_list()] for name in names[1:]]
    table = pages.table("Splits in numbers", ["measured", *splits["split"]], rows)
    return pages.section("Measured", table, _lengths(documents["num_stream_tokens"]))


def examples_section(measured: pl.DataFrame) -> Html:
    """How many examples each split has, how long they are, and how often the commonest answers stand there."""
    counts = measured.group_by("split").len()
    sizes = [["examples", *(_count(counts, split) for split in SPLITS)]]
    lengths = [[_words(name), *_quantiles(measured[name])] for name in _LENGTHS] if measured.height else []
    names = ["measured", "lowest", "1 in 100 below", "middle", "1 in 100 above", "highest"]
    return pages.section(
        "Measured",
        pages.table("Examples of each split", ["", *SPLITS], sizes),
        pages.table("Examples in numbers", names, lengths),
    )


def _count(counts: pl.DataFrame, split: str) -> int:
    return int(counts.filter(pl.col("split") == split)["len"].sum())


def _sentence(verdict: Verdict) -> str:
    aside = verdict.received - verdict.books.kept
    text = f"{_met(verdict)} expectations met"
    if verdict.failed:
        return f"The gate is closed, the chain stops here; {text}, not {', '.join(f.name for f in verdict.failed)}."
    return f"{text}; {number(aside)} of {number(verdict.received)} {verdict.unit} set aside."


def _met(verdict: Verdict) -> str:
    total = len(verdict.findings)
    return f"{total - len(verdict.failed) - len(verdict.warned)} of {total}"


def _figures(verdict: Verdict) -> Html:
    aside = verdict.received - verdict.books.kept
    share = percent(aside / verdict.received) if verdict.received else ""
    return pages.figures(
        Figure(verdict.unit, verdict.received),
        Figure("kept", verdict.books.kept),
        Figure("set aside", aside, share),
        Figure("expectations met", _met(verdict)),
    )


def _expectations(verdict: Verdict) -> Html:
    columns = ["result", "expectation", "limit", "observed", "measured as"]
    rows = [_row(finding) for finding in verdict.findings]
    return pages.section("Expectations", pages.table("In the order in which they count", columns, rows))


def _row(finding: Finding) -> list[object]:
    return [pages.mark(finding.state), finding.title, finding.limit, finding.told, finding.column]


def _outside(verdict: Verdict) -> list[Html]:
    findings = [finding for finding in verdict.findings if finding.failing]
    if not findings:
        return []
    lists = [pages.details(f"{f.title}: not {number(len(f.failing))}", _names(f)) for f in findings]
    note = "By their identity; one can stand under several limits. All that are set aside are in quarantine.parquet."
    return [pages.section("Outside a limit", pages.paragraph(note), *lists)]


def _names(finding: Finding) -> Html:
    more = len(finding.failing) - _EXAMPLES
    lines = [*finding.failing[:_EXAMPLES], *([f"and {number(more)} more"] if more > 0 else [])]
    return pages.preformatted(f"Outside “{finding.limit}”", "\n".join(lines))


def _quantiles(values: pl.Series) -> list[object]:
    quantiles = [values.quantile(share, "nearest") for share in _QUANTILES]
    return [int(value or 0) if values.dtype.is_integer() else value for value in quantiles]


def _sources(measured: pl.DataFrame) -> Html:
    named = measured.lazy().group_by(pl.col("source").fill_null("(not stated)")).len()
    counts = list(named.collect(engine="streaming").sort(["len", "source"], descending=[True, False]).iter_rows())
    bars = [Interval(name, count) for name, count in counts[:_SOURCES]]
    if others := counts[_SOURCES:]:
        bars.append(Interval(f"{number(len(others))} others", sum(count for _, count in others)))
    return interval_chart("Documents by source", bars, unit="documents")


def _lengths(lengths: pl.Series) -> Html:
    counts = powers_of_two(lengths).rename("power").value_counts().sort("power").iter_rows()
    bars = [Interval(f"{number(2**power)} to {number(2 ** (power + 1) - 1)}", count) for power, count in counts]
    return interval_chart("Documents by length in tokens", bars, unit="documents") if bars else Html("")


def _words(column: str) -> str:
    return column.removeprefix("num_").replace("_", " ")
