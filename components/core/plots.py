"""Charts as inline SVG, drawn by plain functions.

In: names and numbers. Out: markup for ``components.core.pages``: a caption, a legend, a drawing, and the same
numbers in words. In between: lines differ by dash as well as by colour, and coordinates are rounded to a tenth of
a unit, so equal numbers draw equal bytes. Values that are not finite are left out and counted in the caption.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from components.core.pages import Html, details, escape, number, table

Point = tuple[float, float]
Limits = tuple[float, float]
_WIDTH, _HEIGHT = 600.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 12.0, 12.0, 44.0
_ROW_HEIGHT, _BAR_HEIGHT = 48.0, 12.0
_NUM_STYLES = 5
_LABEL_CHARACTERS = 34  # more would run into the value on a phone; the table below has the whole label


class Interval(NamedTuple):
    """A value with the interval around it; without ``low`` and ``high`` it is a plain bar."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


def line_chart(title: str, series: Mapping[str, Sequence[Point]], *, x: str, y: str) -> Html:
    """Lines over a common axis: ``series`` maps names to (x, y) points in order of x; ``x``, ``y`` name the axes."""
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    left_out = sum(len(points) for points in series.values()) - sum(map(len, finite.values()))
    note = f" ({number(left_out)} values are not finite and left out)" if left_out else ""
    lines = {name: points for name, points in finite.items() if points}
    rows = [_in_words(name, points) for name, points in lines.items()]
    numbers = table(
        f"{title}: the same in numbers", ["line", f"first {y}", f"lowest {y}", f"at {x}", f"last {y}", f"at {x}"], rows
    )
    if not lines:
        return _figure(title + note, Html("<p>No values yet.</p>"))
    return _figure(title + note, _legend(list(lines)), _draw_lines(title, lines, x, y), details("Numbers", numbers))


def interval_chart(title: str, rows: Sequence[Interval], *, unit: str, start: float | None = 0.0) -> Html:
    """One bar per row, with its interval where it has one; ``start`` is where bars begin (None: below the lowest)."""
    if not rows:
        return _figure(title, Html("<p>No values yet.</p>"))
    ends = [end for row in rows for end in (row.low, row.value, row.high, start) if end is not None]
    ticks = _ticks(min(ends), max(ends))
    height = len(rows) * _ROW_HEIGHT + 46
    parts = [*_column_grid(ticks, height, unit), *(_bar(i, row, ticks, start) for i, row in enumerate(rows))]
    words = table(f"{title}: the same in numbers", ["row", unit, "low", "high"], rows)
    return _figure(title, _svg(title, height, parts), details("Numbers", words))


def _figure(title: str, *parts: Html) -> Html:
    body = "\n".join(parts)
    return Html(f'<figure class="chart"><figcaption class="title">{escape(title)}</figcaption>\n{body}\n</figure>')


def _svg(title: str, height: float, parts: Sequence[str]) -> Html:
    """A drawing that a screen reader announces by its title."""
    name = escape(title)
    body = "\n".join(parts)
    box = f"0 0 {_WIDTH:.0f} {height:.0f}"
    return Html(f'<svg viewBox="{box}" role="img" aria-label="{name}">\n<title>{name}</title>\n{body}\n</svg>')


def _legend(names: list[str]) -> Html:
    items = []
    for i, name in enumerate(names):
        line = f'<path class="line series-{i % _NUM_STYLES}" d="M0 6H32"/>'
        items.append(f'<li><svg viewBox="0 0 32 12" aria-hidden="true">{line}</svg>{escape(name)}</li>')
    return Html(f'<ul class="legend">{"".join(items)}</ul>')


def _draw_lines(title: str, lines: Mapping[str, Sequence[Point]], x: str, y: str) -> Html:
    points = [point for line in lines.values() for point in line]
    across, up = (_ticks(min(values), max(values)) for values in zip(*points, strict=True))
    parts = list(_frame(across, up, x, y))
    for i, line in enumerate(lines.values()):
        path = "L".join(f"{px:.1f} {py:.1f}" for px, py in _thin([_place(p, across, up) for p in line]))
        parts.append(f'<path class="line series-{i % _NUM_STYLES}" d="M{path}"/>')
        if len(line) == 1:
            px, py = _place(line[0], across, up)
            parts.append(f'<circle class="dot" cx="{px:.1f}" cy="{py:.1f}" r="3"/>')
    return _svg(title, _HEIGHT, parts)


def _frame(across: Sequence[float], up: Sequence[float], x: str, y: str) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for tick in up:
        _, py = _place((across[0], tick), across, up)
        yield f'<path class="grid" d="M{_LEFT:.1f} {py:.1f}H{right:.1f}"/>'
        yield _text(_LEFT - 8, py + 4, number(tick), "end")
    for tick in across:
        px, _ = _place((tick, up[0]), across, up)
        yield _text(px, bottom + 18, number(tick), "end" if tick == across[-1] else "middle")
    yield _text((_LEFT + right) / 2, _HEIGHT - 6, x, "middle")
    yield _text(_LEFT + 6, _TOP + 12, y, "start")


def _column_grid(ticks: Sequence[float], height: float, unit: str) -> Iterator[str]:
    for tick in ticks:
        px = _across(tick, ticks)
        yield f'<path class="grid" d="M{px:.1f} 0V{height - 42:.1f}"/>'
        anchor = "start" if tick == ticks[0] else "end" if tick == ticks[-1] else "middle"
        yield _text(px, height - 24, number(tick), anchor)
    yield _text(_across(ticks[-1], ticks), height - 6, unit, "end")


def _bar(index: int, row: Interval, ticks: Sequence[float], start: float | None) -> str:
    top, told = index * _ROW_HEIGHT, number(row.value)
    begin, end = sorted(_across(value, ticks) for value in (ticks[0] if start is None else start, row.value))
    size = f'width="{end - begin:.1f}" height="{_BAR_HEIGHT:.1f}"'
    parts = [f'<rect class="bar" x="{begin:.1f}" y="{top + 30:.1f}" {size}/>']
    if row.low is not None and row.high is not None:
        told = f"{told} ({number(row.low)} to {number(row.high)})"
        parts.append(_whiskers(_across(row.low, ticks), _across(row.high, ticks), top + 30 + _BAR_HEIGHT / 2))
    short = row.label if len(row.label) <= _LABEL_CHARACTERS else row.label[: _LABEL_CHARACTERS - 1] + "…"
    return "".join([_text(4, top + 20, short, "start", "row"), _text(_WIDTH - 4, top + 20, told, "end"), *parts])


def _whiskers(low: float, high: float, y: float) -> str:
    ends = f"M{low:.1f} {y - 5:.1f}v10M{high:.1f} {y - 5:.1f}v10"
    return f'<path class="range" d="M{low:.1f} {y:.1f}H{high:.1f}{ends}"/>'


def _text(x: float, y: float, content: str, anchor: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def _place(point: Point, across: Sequence[float], up: Sequence[float]) -> Point:
    """A point in drawing units; the first and last ticks are the edges of the frame."""
    share_x = (point[0] - across[0]) / (across[-1] - across[0])
    share_y = (point[1] - up[0]) / (up[-1] - up[0])
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    return _LEFT + share_x * width, _HEIGHT - _BOTTOM - share_y * height


def _across(value: float, ticks: Sequence[float]) -> float:
    return 4 + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (_WIDTH - 8)


def _ticks(low: float, high: float) -> list[float]:
    """Three to eight round numbers (1, 2 or 5 times a power of ten apart) that enclose ``low`` and ``high``."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _thin(points: Sequence[Point]) -> Iterator[Point]:
    """At most four points per drawing unit across (first, lowest, highest, last), so that no peak is lost."""
    for _, group in groupby(points, key=lambda point: round(point[0])):
        column = list(group)
        kept = [column[0], min(column, key=lambda p: p[1]), max(column, key=lambda p: p[1]), column[-1]]
        yield from sorted(set(kept), key=column.index)


def _in_words(name: str, points: Sequence[Point]) -> tuple[object, ...]:
    lowest = min(points, key=lambda point: point[1])
    return name, points[0][1], lowest[1], lowest[0], points[-1][1], points[-1][0]
