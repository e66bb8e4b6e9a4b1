"""The page of an assessment in a real browser: light and dark, wide and narrow, with hostile answers."""

from __future__ import annotations

from pathlib import Path

from components.applications import APPLICATIONS
from components.assess import AssessConfig
from components.assess.page import draw
from components.assess.questions import Question, Said
from components.assess.summary import measure
from components.core.params import parse
from tests.browser import browsing

HOSTILE = "<script>document.title = 'owned'</script>" + "w" * 300


def page() -> bytes:
    """Thirty questions, a third of them answered rightly, beside a floor that is right on half."""
    config = parse({"num_resamples": 200}, AssessConfig, "test")
    labels = ["a", "b", HOSTILE]
    questions = [
        Question(str(i), str(i), {}, f"[x]\n{HOSTILE}\n", labels[i % 3], (labels[i % 3],), (), ()) for i in range(30)
    ]
    chances = {"a": 0.5, "b": 0.3, HOSTILE: 0.2}
    said = [Said(text="a", chances=chances)] * 30
    named = [labels[i % 3 if i % 2 else 0] for i in range(30)]
    floor = [Said(text=label, chances={**dict.fromkeys(labels, 0.2), label: 0.6}) for label in named]
    application = APPLICATIONS["classify"]
    figures = measure(application.metrics, questions, said, {"a floor": floor}, config)
    return draw(application, config, figures, questions, said)


def test_the_page_fits_every_screen_runs_nothing_and_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(page())
    with browsing(tmp_path / "profile") as browser:
        for width, is_dark in ((1280, False), (390, False), (1280, True), (390, True)):
            browser.show_as(width, 900, is_dark=is_dark)
            browser.open((tmp_path / "page.html").as_uri())
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value("document.title") == "Assessment of classify · Pedigree"
            assert "worse than the best floor" in browser.value("document.querySelector('.verdict').innerText")
            browser.picture(tmp_path / f"{width}-{is_dark}.png")
        assert browser.complaints == []
        assert {address.split(":")[0] for address in browser.addresses} <= {"file", "data"}
    shades = [(tmp_path / f"390-{is_dark}.png").read_bytes() for is_dark in (False, True)]
    assert shades[0] != shades[1]
