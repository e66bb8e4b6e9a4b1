"""Pages are safe, offline, accessible and made of the same bytes every time."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from components.core import pages, plots

HOSTILE = "<script>document.title='owned'</script><img src=http://evil.example/x onerror=alert(1)>&\"'"
VOID = {"meta", "link", "img", "br", "input"}


class Outline(HTMLParser):
    """Every element with its attributes; raises when tags do not nest."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(data.decode("utf-8"))
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def everything(word: str) -> bytes:
    """A page that uses every helper, with ``word`` wherever data can go."""
    line = plots.line_chart(word, {word: [(0, 3.0), (1, 2.0)], "other": [(0, 4.0), (1, 1.5)]}, x=word, y=word)
    bars = plots.interval_chart(word, [plots.Interval(word, 1.0, 0.5, 1.5), plots.Interval("b", 2.0)], unit=word)
    return pages.page(
        word,
        pages.verdict(True, word),
        pages.verdict(False, word),
        pages.figures(pages.Figure(word, word, word), pages.Figure("count", 12345)),
        pages.section(word, pages.paragraph(word)),
        pages.table(word, [word], [[word], [1.5], [None], [pages.mark("failed")]]),
        line,
        bars,
        pages.preformatted(word, word),
        pages.details(word, word),
        lead=word,
    )  # fmt: skip


def test_data_never_becomes_markup() -> None:
    outline = Outline(everything(HOSTILE))
    tags = {tag for tag, _ in outline.elements}
    assert not tags & {"script", "img", "iframe", "object", "link", "base", "form", "b"}
    assert not [name for _, attributes in outline.elements for name in attributes if name.startswith("on")]


def test_hostile_data_makes_the_same_elements_as_harmless_data() -> None:
    hostile, harmless = Outline(everything(HOSTILE)), Outline(everything("word"))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]


def test_nothing_is_loaded_from_anywhere() -> None:
    data = everything("word")
    assert b"http:" not in data
    assert b"https:" not in data
    assert b"url(" not in data
    assert b"@import" not in data
    sources = [a for _, a in Outline(data).elements if a.keys() & {"src", "srcset", "data", "action"}]
    assert not sources


def test_the_policy_allows_only_the_one_style() -> None:
    data = everything(HOSTILE)
    policies = [a["content"] for a in Outline(data).named("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert (policies[0] or "").startswith("default-src 'none'; style-src 'sha256-")
    assert data.count(b"<style") == 1
    assert b" style=" not in data


def test_equal_content_gives_equal_bytes() -> None:
    assert everything(HOSTILE) == everything(HOSTILE)


def test_control_characters_and_broken_surrogates_are_shown_not_written() -> None:
    data = pages.page("t", pages.preformatted("s", "a\x00b\x1b[31m\x7f\ud800"))
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", data)
    assert "a␀b␛[31m␡".encode() in data
    assert b"\\ud800" in data


def test_charts_tell_their_numbers_in_words() -> None:
    outline = Outline(everything("word"))
    drawings = [a for a in outline.named("svg") if a.get("role") == "img"]
    assert len(drawings) == 2
    assert all(a.get("aria-label") for a in drawings)
    assert len(outline.named("details")) == 3
    assert b"<title>word</title>" in everything("word")


def test_every_scrolling_box_is_reachable_by_keyboard_and_named() -> None:
    boxes = [a for a in Outline(everything("word")).named("div") if a.get("class") == "scroll"]
    assert boxes
    assert all(a["tabindex"] == "0" and a["aria-label"] and a["role"] == "region" for a in boxes)


def test_passed_and_failed_differ_in_words_and_signs_too() -> None:
    assert "✓" in pages.mark("passed")
    assert "passed" in re.sub("<[^>]*>", "", pages.mark("passed"))
    assert "✗" in pages.mark("failed")
    assert pages.verdict(True, "t").count("✓") == pages.verdict(False, "t").count("✗") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567, "1,234,567"), (0.0, "0"), (31.2, "31.2"), (12345.6, "12,346"), (0.000021, "2.1e-05"),
     (float("nan"), "nan"), (float("inf"), "inf"), (-2.5, "-2.5"), ("text", "text")],
)  # fmt: skip
def test_numbers_read_well(value: object, text: str) -> None:
    assert pages.number(value) == text


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0, 1.0)],
        [(0, 1.0), (1, 1.0)],
        [(0, float("nan")), (1, 2.0)],
        [(0, -1e9), (1, 1e9)],
        [(0, 1e-9), (1, 2e-9)],
    ],
)
def test_a_line_chart_stands_any_points(points: list[tuple[float, float]]) -> None:
    data = pages.page("t", plots.line_chart("chart", {"line": points}, x="x", y="y"))
    Outline(data)
    assert b'd="Mnan' not in data


def test_points_that_cannot_be_drawn_are_counted() -> None:
    chart = plots.line_chart("chart", {"line": [(0, 1.0), (1, float("nan")), (2, float("inf"))]}, x="x", y="y")
    assert "2 values are not finite and left out" in chart


def test_a_long_line_is_thinned_and_keeps_its_peaks() -> None:
    points = [(float(i), 0.0) for i in range(100_000)]
    points[50_000] = (50_000.0, 10.0)
    chart = plots.line_chart("chart", {"line": points}, x="x", y="y")
    assert len(chart) < 50_000
    assert " 12.0L" in chart  # the peak reaches the top of the frame


@pytest.mark.parametrize("values", [[0.0], [5.0], [-1.0, 2.0], [1e-7, 2e-7], [1e12]])
def test_bars_lie_inside_the_drawing(values: list[float]) -> None:
    chart = plots.interval_chart(
        "chart", [plots.Interval(str(v), v, v - abs(v) / 10, v + abs(v) / 10) for v in values], unit="u"
    )
    for x, width in re.findall(r'<rect class="bar" x="([-\d.]+)" y="[\d.]+" width="([-\d.]+)"', chart):
        assert 0 <= float(x) <= float(x) + float(width) <= 600


def test_a_browser_neither_runs_nor_loads_anything(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here: the page is checked by its markup only")
    page = tmp_path / "page.html"
    page.write_bytes(everything(HOSTILE))
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--dump-dom", page.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "<title>owned" not in done.stdout
    assert "PEDIGREE" in done.stdout
    assert "Content Security Policy" not in done.stderr
