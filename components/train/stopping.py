"""Requests to stop: SIGTERM and SIGINT, answered between two steps.

In: signals. Out: whether one came. In between: the step that is being taken is finished first, so that what is saved
then is the state after a whole number of steps.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from components.core.errors import Interrupted


@contextmanager
def listening() -> Iterator[threading.Event]:
    """While the block runs, SIGTERM and SIGINT set the event and do nothing else."""
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted(step: int) -> Interrupted:
    """What a run says that was asked to stop and left a checkpoint after ``step``."""
    return Interrupted(
        f"train, step {step}",
        found="a request to stop",
        expected="time to finish",
        fix=f"run again: it goes on after step {step}",
    )
