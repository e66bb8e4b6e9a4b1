"""The numbers of a training in MLflow while it trains.

In: steps and values, as the process that watches a training reads them. Out: points of a run in MLflow.
In between: a thread of its own delivers them in batches, so a registry that is slow or away never holds up or
fails a training. While it is away they wait, and are delivered when it answers again; what it has not taken when the
training ends is delivered by ``register`` from the training's history.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.core import params as params_file
from components.core.errors import PedigreeError
from components.registry.store import Store, find_store, make_client

if TYPE_CHECKING:
    from components.registry.runs import Points

_SECONDS_BETWEEN_BATCHES = 1.0
_SECONDS_TO_CLOSE = 15.0
_SECONDS_BETWEEN_TRIES = 5.0
Point = tuple[int, int, dict[str, float]]


class LiveRun:
    """Takes ``(step, values)`` and returns at once; ``close`` waits a bounded time for what is on its way."""

    def __init__(self, store: Store, experiment: str, execution: str, values: Mapping[str, Any]) -> None:
        self._store, self._experiment, self._execution, self._values = store, experiment, execution, values
        self._waiting: deque[Point] = deque()
        self._closing = threading.Event()
        self._status, self._is_away = "FINISHED", False
        self._points: Points | None = None
        self._thread = threading.Thread(target=self._run, name="live metrics", daemon=True)
        self._thread.start()

    def __call__(self, step: int, values: Mapping[str, float], /) -> None:
        """Take the numbers of one step."""
        self._waiting.append((step, int(time.time() * 1000), dict(values)))

    def close(self, *, succeeded: bool = True) -> None:
        """Deliver what is waiting, mark the run as finished or failed, and stop."""
        self._status = "FINISHED" if succeeded else "FAILED"
        self._closing.set()
        self._thread.join(_SECONDS_TO_CLOSE)
        if self._thread.is_alive() and not self._is_away:
            self._warn(f"no answer within {_SECONDS_TO_CLOSE:.0f} seconds")

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closing.wait(_SECONDS_BETWEEN_TRIES if self._is_away else _SECONDS_BETWEEN_BATCHES)
            try:
                self._deliver(is_last)
                self._is_away = False
            except Exception as error:  # noqa: BLE001 - told once; no fault of a registry may reach a training
                self._points = None  # what has arrived is asked for again, so that nothing is delivered twice
                if not self._is_away:
                    self._warn(str(error).strip().partition("\n")[0][:300])
                self._is_away = True

    def _deliver(self, is_last: bool) -> None:
        from components.registry.runs import Points, metrics_of, open_run

        if self._points is None:
            client = make_client(self._store)
            run_id = open_run(client, self._store, self._experiment, self._execution, self._values)
            self._points = Points(client, run_id)
        batch = list(self._waiting)
        self._points.add(metric for step, at, values in batch for metric in metrics_of(step, values, at))
        for _ in batch:
            self._waiting.popleft()
        if is_last:
            self._points.end(self._status)

    def _warn(self, reason: str) -> None:
        text = f"live metrics do not reach {self._store} ({reason}); the training goes on, and they are delivered later"
        print(text, file=sys.stderr, flush=True)


def open_live_run(execution: str, values: Mapping[str, Any], experiment: str | None = None) -> LiveRun:
    """Follow a training: ``values`` are its params; the experiment is ``register.name`` of params.yaml unless given."""
    return LiveRun(find_store(), experiment or _experiment(), execution, values)


def _experiment() -> str:
    try:
        return str(params_file.load()["register"]["name"])
    except (PedigreeError, KeyError, TypeError):
        return "pedigree"
