"""Calls that may take long, or for ever: a registry that does not answer, a version to load, a catalogue to rank.

In: a call. Out: what it gives. In between: it has a thread of its own, which holds up neither the event loop nor the
end of the process, as those of asyncio's own pool would.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Value = TypeVar("Value")


async def aside(act: Callable[[], Value]) -> Value:
    """What ``act`` gives or raises; whoever is cancelled while it waits leaves it to itself."""
    found: Future[Value] = Future()
    found.set_running_or_notify_cancel()  # from now on it cannot be cancelled, and the thread may settle it
    threading.Thread(target=_settle, args=(found, act), name="aside", daemon=True).start()
    return await asyncio.wrap_future(found)


def _settle(found: Future[Value], act: Callable[[], Value]) -> None:
    try:
        found.set_result(act())
    except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
        found.set_exception(error)
