"""Keeping on when a transfer fails, and what every transfer tells about a file.

In: a step that reads some of a file. Out: the step, done. In between: after a failure it waits longer and longer; a
step that got further than the last one starts to count anew, so that a bad line costs time and not the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from components.core.errors import SourceError

ATTEMPTS = 6
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0
CONNECT_SECONDS, STALL_SECONDS = 20.0, 60.0
PIECE_BYTES = 1 << 20
_Result = TypeVar("_Result")


class Version(NamedTuple):
    """What a server says that a file is: its address, size and ETag, where it says so."""

    address: str
    bytes: int | None
    etag: str | None


class TransientError(Exception):
    """A failure that may pass; ``wait_seconds`` is what the server asked for."""

    def __init__(self, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


def keep_on(address: str, step: Callable[[], _Result], progress: Callable[[], int]) -> _Result:
    """What ``step`` returns, tried again while it raises TransientError. ``progress`` says how many bytes are there.

    Raises SourceError after ATTEMPTS failures in a row that got no further.
    """
    failures, reached = 0, progress()
    while True:
        try:
            return step()
        except TransientError as error:
            failures, reached = (1, progress()) if progress() > reached else (failures + 1, reached)
            if failures >= ATTEMPTS:
                raise refuse(address, f"{error}, {failures} times in a row", "an answer",
                             "look at the network, then run again: it goes on where it stopped") from None  # fmt: skip
            wait = max(FIRST_WAIT_SECONDS * 2 ** (failures - 1), error.wait_seconds)
            time.sleep(min(wait, LONGEST_WAIT_SECONDS))


def refuse(address: str, found: str, expected: str, fix: str) -> SourceError:
    """The error for a file elsewhere."""
    return SourceError(f"source {address}", found=found, expected=expected, fix=fix)
