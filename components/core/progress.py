"""Progress of anything that takes longer than two seconds.

In: a description, a total and steps as they are done. Out: a bar on a terminal, a plain line every few seconds
elsewhere. In between: nothing is written to standard output, which belongs to results.
"""

from __future__ import annotations

import sys
import time
from typing import Any

_SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Tells how far a piece of work is: ``with Progress("packing", total=9, unit="documents") as p: p.advance(3)``."""

    def __init__(self, description: str, total: int | None = None, unit: str = "", done: int = 0) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done, self._done_before, self.note = done, done, ""
        self._start = self._told = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = _open_bar(self.description, self.total, self.unit, self.done)
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done; ``note`` is a short text shown beside the count."""
        self.done, self.note = self.done + count, note or self.note
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, note=self.note)
        elif time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES:
            self._tell()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and time.monotonic() - self._start >= _SECONDS_BETWEEN_LINES:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        of_total = f"/{self.total:,}" if self.total else ""
        seconds = self._told - self._start
        left = self._seconds_left(seconds)
        times = f"{seconds:.0f} s" + (f", {left:.0f} s left" if left else "")
        parts = [f"{self.description}: {self.done:,}{of_total} {self.unit}".rstrip(), times, self.note]
        print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)

    def _seconds_left(self, seconds: float) -> float:
        """What the rest would take at the speed so far; 0 where that cannot be told."""
        just_done = self.done - self._done_before
        return seconds * (self.total - self.done) / just_done if self.total and just_done else 0.0


def _open_bar(description: str, total: int | None, unit: str, done: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    bar = RichProgress(*columns, console=Console(stderr=True), transient=False)
    bar.add_task(description, total=total, completed=done, note="")
    bar.start()
    return bar
