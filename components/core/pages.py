"""The one skeleton of every page that Pedigree writes: validation, training, evaluation.

In: a title and sections made by the functions below. Out: the bytes of one HTML file that needs nothing else.
In between: ``Html`` is markup, everything else is data and is escaped, so a corpus full of scripts and formulas
stays text. A page loads nothing, runs nothing (its policy forbids it) and says in words what it says in colour.
Charts are in ``components.core.plots``.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_MARKS = {"passed": "✓", "failed": "✗", "quarantined": "▲", "warned": "△"}
# Control characters are not allowed in HTML and can hide text: show each as its picture from U+2400 on.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}


class Html(str):
    """Text that is markup already; only the functions that build pages make it."""

    __slots__ = ()


class Figure(NamedTuple):
    """A key figure: what it is, its value, and a line on how to read it."""

    label: str
    value: object
    note: str = ""


def escape(value: object) -> Html:
    """``value`` as markup: ``Html`` as it is, numbers by ``number``, all else as text that cannot act."""
    if isinstance(value, Html):
        return value
    text = number(value) if _is_number(value) else str(value)
    return Html(html.escape(text.translate(_PICTURES)))


def number(value: object) -> str:
    """A number for people: thousands separated, four significant digits, never an exponent below a billion."""
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float) or value != value or abs(value) >= 1e9:
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    if abs(value) >= 1000 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def percent(share: float) -> str:
    """A part of one for people, in three significant digits: 0.05 reads ``5 %``."""
    return f"{number(float(f'{100 * share:.3g}'))} %"


def page(title: str, *sections: object, lead: str = "") -> bytes:
    """One whole page: ``title`` as its heading, ``lead`` as a line below, then the sections."""
    text = _SKELETON.format(
        policy=_POLICY,
        style=_STYLE,
        title=escape(title),
        lead=_tag("p", escape(lead), "lead") if lead else "",
        content=_join(sections),
    )
    return text.encode("utf-8", errors="backslashreplace")


def section(heading: str, *parts: object) -> Html:
    """A part of the page with its own heading."""
    return _tag("section", _join([_tag("h2", escape(heading)), *parts]))


def paragraph(*parts: object) -> Html:
    """Running text; parts are joined without a space."""
    return _tag("p", Html("".join(escape(part) for part in parts)))


def verdict(is_passed: bool, text: str) -> Html:
    """The one line that a reader came for."""
    kind = "passed" if is_passed else "failed"
    return Html(f'<p class="verdict {kind}"><span aria-hidden="true">{_MARKS[kind]}</span> {escape(text)}</p>')


def mark(kind: str) -> Html:
    """``passed``, ``failed``, ``quarantined`` or ``warned`` as a sign, a word and a colour."""
    return Html(f'<span class="mark {kind}"><span aria-hidden="true">{_MARKS[kind]}</span> {kind}</span>')


def figures(*items: Figure) -> Html:
    """Key figures side by side."""
    return _tag("dl", _join(_figure(item) for item in items), "figures")


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table that scrolls in its own box on a narrow screen; columns of numbers stand right, None is a dash."""
    cells = [list(row) for row in rows]
    kinds = ["number" if _is_numeric([row[i] for row in cells]) else "" for i in range(len(columns))]
    head = Html("".join(_header(*pair) for pair in zip(columns, kinds, strict=True)))
    body = [_tag("tr", Html("".join(_cell(*pair) for pair in zip(row, kinds, strict=True)))) for row in cells]
    inner = _join([_tag("caption", escape(caption)), _tag("thead", _tag("tr", head)), _tag("tbody", _join(body))])
    return scrolling(caption, _tag("table", inner))


def scrolling(label: str, content: Html) -> Html:
    """A box that scrolls sideways by itself, reachable by keyboard."""
    return Html(f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">\n{content}\n</div>')


def preformatted(label: str, text: str) -> Html:
    """Text shown letter by letter, such as a sample of a corpus or of a model."""
    box = Html(f'<pre dir="auto" tabindex="0" aria-label="{escape(label)}">{escape(text)}</pre>')
    return Html(f'<figure class="sample"><figcaption>{escape(label)}</figcaption>{box}</figure>')


def details(summary: str, *parts: object) -> Html:
    """Parts that a reader can open."""
    return _tag("details", _join([_tag("summary", escape(summary)), *parts]))


def _figure(item: Figure) -> Html:
    note = _tag("dd", escape(item.note), "note") if item.note else ""
    return _tag("div", _join([_tag("dt", escape(item.label)), _tag("dd", escape(item.value)), note]))


def _header(name: str, kind: str) -> Html:
    attribute = f' class="{kind}"' if kind else ""
    return Html(f'<th scope="col"{attribute}>{escape(name)}</th>')


def _cell(value: object, kind: str) -> Html:
    return _tag("td", escape("–" if value is None else value), kind)


def _is_numeric(column: Sequence[object]) -> bool:
    """Whether a column holds numbers and gaps alone, and at least one number."""
    values = [value for value in column if value is not None]
    return bool(values) and all(map(_is_number, values))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tag(name: str, content: Html, kind: str = "") -> Html:
    attribute = f' class="{kind}"' if kind else ""
    return Html(f"<{name}{attribute}>{content}</{name}>")


def _join(parts: Iterable[object]) -> Html:
    return Html("\n".join(escape(part) for part in parts if part != ""))


_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfbf8; --card: #ffffff; --ink: #1d2126; --quiet: #5a626c; --line: #e2dfd7; --accent: #1c5d99;
  --passed: #17693f; --passed-tint: #e9f4ec; --failed: #a3231b; --failed-tint: #fbebe8;
  --quarantined: #7c5200; --quarantined-tint: #faf1dc;
  --series-0: #1c5d99; --series-1: #b4541a; --series-2: #17693f; --series-3: #7b3f98; --series-4: #6b6b12;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --card: #1c2025; --ink: #e7e5df; --quiet: #a2a9b2; --line: #333941; --accent: #8cbdf0;
    --passed: #7fd2a0; --passed-tint: #182a20; --failed: #ff9d92; --failed-tint: #351d1b;
    --quarantined: #e8c06a; --quarantined-tint: #2f2716;
    --series-0: #8cbdf0; --series-1: #f0a878; --series-2: #7fd2a0; --series-3: #cfa0e6; --series-4: #d3d07a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; padding: 0 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word;
}
header, main { max-width: 60rem; margin: 0 auto; }
header { padding: 3rem 0 .5rem; }
header .name { margin: 0 0 .25rem; color: var(--quiet); font-size: .8rem; letter-spacing: .14em; }
h1 { margin: 0; font-size: clamp(1.6rem, 5vw, 2.2rem); line-height: 1.2; font-weight: 650; letter-spacing: -.015em; }
h2 { margin: 2.75rem 0 .75rem; font-size: 1.2rem; line-height: 1.3; font-weight: 650; }
p { max-width: 42rem; margin: .75rem 0; }
.lead { margin-top: .6rem; color: var(--quiet); font-size: 1.05rem; }
.skip { position: absolute; left: -100rem; padding: .5rem 1rem; background: var(--card); color: var(--accent); }
.skip:focus { left: .5rem; top: .5rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
main:focus { outline: none; }
.verdict {
  max-width: none; margin: 1.5rem 0; padding: .9rem 1.1rem; border-left: .35rem solid; border-radius: 4px;
  font-size: 1.05rem; font-weight: 600;
}
.verdict.passed { color: var(--passed); background: var(--passed-tint); }
.verdict.failed { color: var(--failed); background: var(--failed-tint); border-left-style: double; }
.mark { white-space: nowrap; font-weight: 600; }
.mark.passed { color: var(--passed); }
.mark.failed { color: var(--failed); }
.mark.quarantined, .mark.warned { color: var(--quarantined); }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1.25rem 2rem; margin: 1.5rem 0;
}
.figures div { border-top: 2px solid var(--line); padding-top: .6rem; }
.figures dt { color: var(--quiet); font-size: .875rem; line-height: 1.35; }
.figures dd { margin: 0; font-size: 1.6rem; line-height: 1.3; font-weight: 620; letter-spacing: -.01em; }
.figures dd.note { color: var(--quiet); font-size: .8rem; font-weight: 400; letter-spacing: 0; }
.scroll { overflow-x: auto; margin: 1rem 0; background: var(--card); }
.scroll, pre { border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.45; }
caption { padding: .7rem .9rem; text-align: left; color: var(--quiet); }
th, td { padding: .55rem .9rem; border-top: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--quiet); font-size: .8rem; font-weight: 600; white-space: nowrap; }
td { unicode-bidi: isolate; }
.number { text-align: right; white-space: nowrap; }
tr:has(.failed) td { background: var(--failed-tint); }
tr:has(.quarantined, .warned) td { background: var(--quarantined-tint); }
figure { margin: 1.5rem 0; }
figcaption { margin: 0 0 .4rem; color: var(--quiet); font-size: .9rem; }
pre, code, .code { font: .85rem/1.55 ui-monospace, "SF Mono", Consolas, "DejaVu Sans Mono", monospace; }
pre {
  margin: 0; padding: .9rem 1.1rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--card);
}
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); }
.chart { max-width: 46rem; }
.chart .title { color: var(--ink); font-weight: 600; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart text {
  fill: var(--quiet); font-size: 12px; font-family: inherit;
  paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round;
}
.chart .row { fill: var(--ink); }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.chart .bar, .chart .dot { fill: var(--series-0); }
.chart .bar { opacity: .5; }
.chart .range { stroke: var(--ink); stroke-width: 2; stroke-linecap: round; }
.series-0 { stroke: var(--series-0); }
.series-1 { stroke: var(--series-1); stroke-dasharray: 7 4; }
.series-2 { stroke: var(--series-2); stroke-dasharray: 2 3; }
.series-3 { stroke: var(--series-3); stroke-dasharray: 9 3 2 3; }
.series-4 { stroke: var(--series-4); stroke-dasharray: 4 2; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0 0 .5rem; padding: 0; font-size: .85rem; }
.legend li { list-style: none; }
.legend svg { display: inline-block; width: 2rem; height: .75rem; margin-right: .4rem; vertical-align: middle; }
@media (max-width: 36rem) { .chart text { font-size: 19px; } th, td { padding: .5rem .65rem; } }
@media print { body { background: none; } .scroll { overflow: visible; } }
"""

# The policy names the style by its digest, so that no other style, and no script at all, can come in with data.
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'"

_SKELETON = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title} · Pedigree</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<p class="name">PEDIGREE</p>
<h1>{title}</h1>
{lead}
</header>
<main id="content" tabindex="-1">
{content}
</main>
</body>
</html>
"""
