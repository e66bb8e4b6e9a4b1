"""The times of a run, kept beside the artifact, which holds no clock: every number as JSON lines, and a page.

In: the numbers of each step as they come. Out: ``.pedigree/times/STAGE.jsonl``, whose first line says which work it
is, and when the run ends ``STAGE.html``, which shows where its time went. In between: a line is on the disk as soon as
the step is done, whatever becomes of the run and of the registry; a run that goes on where another one of the same
work was stopped goes on with its file too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TextIO

from components.core.files import write_whole
from components.core.lock import STATE
from components.core.pages import Figure, figures, page, paragraph, percent, section
from components.core.plots import Interval, interval_chart, line_chart

FOLDER = STATE / "times"
_EXECUTION = "execution"
# What the loop spends its time on beside the step, by the names that ``throughput`` gives.
_OTHERS = {
    "seconds_data": "reading the batch",
    "seconds_validation": "measuring validation losses",
    "seconds_checkpoint": "saving checkpoints",
    "seconds_rest": "telling and everything else",
}
Line = dict[str, float]


class Times:
    """A LiveRun that writes down what it is told."""

    def __init__(self, stage: str, execution: str, folder: Path = FOLDER) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stage, self._path = stage, folder / f"{stage}.jsonl"
        self._head = json.dumps({_EXECUTION: execution}) + "\n"
        self._file: TextIO | None = None

    def __call__(self, step: int, values: Mapping[str, float], /) -> None:
        """Write the numbers of one step."""
        if self._file is None:
            self._file = self._open(goes_on=step > 1)
        self._file.write(json.dumps({"step": step, **values}) + "\n")

    def _open(self, *, goes_on: bool) -> TextIO:
        before = self._path.read_text(encoding="utf-8") if goes_on and self._path.exists() else ""
        is_same = before.startswith(self._head)
        file = self._path.open("a" if is_same else "w", encoding="utf-8", buffering=1)
        if not is_same:
            file.write(self._head)
        return file

    def close(self, *, succeeded: bool) -> None:
        """Write the page; of a run that failed too, for it shows how far it came."""
        if self._file is not None:
            self._file.close()
            told = render(self._stage, read_times(self._path), is_whole=succeeded)
            write_whole(self._path.with_suffix(".html"), told)


def read_times(path: Path) -> list[Line]:
    """The numbers of each step, in the order in which they were told; a line that was cut off is left out."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()[1:]]


def render(stage: str, lines: Sequence[Line], *, is_whole: bool) -> bytes:
    """The page of where the time of a run went."""
    whole = sum(_seconds(line) for line in lines)
    summary = figures(
        Figure("tokens per second", median(line["tokens_per_second"] for line in lines), "of steps, the median"),
        Figure("share of peak", percent(median(line["share_of_peak"] for line in lines)),
               "of this machine's fastest matrix products"),
        Figure("steps", len(lines), f"{'a whole run' if is_whole else 'so far'}, {whole:,.0f} seconds"),
    )  # fmt: skip
    speeds = {"tokens/s": [(line["step"], line["tokens_per_second"]) for line in lines]}
    return page(
        f"Where the time of {stage} went",
        summary,
        section(
            "A step",
            interval_chart("Milliseconds of a step, on average", _parts(lines), unit="ms"),
            paragraph("What does not happen in every step is spread over all of them. The matrix products are what "
                      "they would take at the peak; what a step takes beyond that is the rest of its work."),
        ),
        section("Speed", line_chart("Tokens per second by step", speeds, x="step", y="tokens/s")),
        lead="Times of the machine that this ran on; no part of the artifact, which is the same wherever it is made.",
    )  # fmt: skip


def _parts(lines: Sequence[Line]) -> list[Interval]:
    steps = [line["seconds_step"] for line in lines]
    usual = median(steps)
    compiling = max(0.0, steps[0] - usual) / len(steps)
    products = usual * median(line["share_of_peak"] for line in lines)
    parts = {
        "step: matrix products, at the peak": products,
        "step: everything else": fmean(steps) - compiling - products,
        "compiling, in the first step": compiling,
    }
    parts |= {label: fmean(line[name] for line in lines) for name, label in _OTHERS.items()}
    return [Interval(label, 1000 * seconds) for label, seconds in parts.items()]


def _seconds(line: Line) -> float:
    return line["seconds_step"] + sum(line[name] for name in _OTHERS)
