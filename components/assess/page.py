"""The page of an assessment: the verdict, each metric beside its floors, what was said.

In: figures, questions, answers. Out: the bytes of one HTML file. In between: everything is shown as text, escaped; the
examples shown are the first by identity, good or bad.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.applications import Application
from components.assess.config import AssessConfig
from components.assess.questions import Question, Said
from components.assess.summary import Figures, Measured
from components.core import pages
from components.core.pages import Figure, Html, number, percent
from components.core.plots import Interval, interval_chart

_SHOWN, _SHOWN_CHARACTERS = 8, 600


def draw(
    application: Application, config: AssessConfig, figures: Sequence[Figures], questions: Sequence[Question],
    said: Sequence[Said],
) -> bytes:  # fmt: skip
    """The whole page."""
    lead = f"{application.sentence} Asked {number(len(questions))} test questions that were never learned from."
    return pages.page(
        f"Assessment of {application.name}",
        _verdict(figures),
        pages.figures(*(_key_figure(one, config.level) for one in figures)),
        *(_section(one, config.level) for one in figures),
        pages.section("What was said", *_examples(questions, said)),
        lead=lead,
    )


def _verdict(figures: Sequence[Figures]) -> Html:
    """How the first metric, the one that a gate looks at, stands to the best floor."""
    first = figures[0]
    if (best := first.best_floor) is None:
        return pages.verdict(
            True, f"{first.metric.title} {_value(first, first.model.value)}; no floor is measured by it."
        )
    ours, floor = _value(first, first.model.value), f"{_value(first, best.value)} ({best.floor})"
    if first.is_above is None:
        return pages.verdict(False, f"{first.metric.title} {ours} is not told apart from the best floor, {floor}.")
    relation = "better than every floor; the best is" if first.is_above else "worse than the best floor,"
    return pages.verdict(first.is_above, f"{first.metric.title} {ours}: {relation} {floor}.")


def _key_figure(one: Figures, level: float) -> Figure:
    return Figure(one.metric.title, _value(one, one.model.value), _between(one, one.model, level))


def _section(one: Figures, level: float) -> Html:
    bars = [Interval("this model", one.model.value, one.model.low, one.model.high)]
    bars += [Interval(beside.floor, beside.value) for beside in one.floors]
    rows = [
        [beside.floor, _value(one, beside.value), _value(one, beside.difference.value),
         _between(one, beside.difference, level)]
        for beside in one.floors
    ]  # fmt: skip
    columns = ["floor", one.metric.title, "this model minus it", "interval"]
    parts = [interval_chart(f"{one.metric.title}, {one.metric.better} is better", bars, unit=one.metric.title)]
    return pages.section(one.metric.title, *parts, *([pages.table("Beside the floors", columns, rows)] if rows else []))


def _between(one: Figures, measured: Measured, level: float) -> str:
    if measured.low is None or measured.high is None:
        return "one group alone, no interval"
    return f"{_value(one, measured.low)} to {_value(one, measured.high)} at {percent(level)}"


def _value(one: Figures, value: float) -> str:
    return percent(value) if one.metric.is_share else number(float(f"{value:.4g}"))


def _examples(questions: Sequence[Question], said: Sequence[Said]) -> Iterator[Html]:
    for question, answer in list(zip(questions, said, strict=True))[:_SHOWN]:
        told = answer.text if answer.ranked is None else "\n".join(answer.ranked[:10])
        text = f"{_cut(question.prompt)}{_cut(told or '')}\n\nright: {_cut(question.answer)}"
        yield pages.preformatted(f"Example {question.identity[:8]}", text)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
