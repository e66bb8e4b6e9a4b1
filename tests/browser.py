"""A browser for tests: headless Chromium, driven through its DevTools protocol by one websocket.

In: a page's address, expressions in JavaScript. Out: their values, screenshots, and what the page complained of.
In between: a profile of its own, no network but what the page asks for; without a Chromium the test is skipped.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
            "--remote-debugging-port=0", "--hide-scrollbars")  # fmt: skip


class Page:
    """The one tab of a browser.

    Attributes:
        complaints: errors of scripts and violations of the page's policy.
        addresses: everything that was loaded.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; events that come meanwhile are noted."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (message := json.loads(self._socket.recv(timeout=60))).get("id") != number:
            self._note(message)
        if "error" in message:
            raise AssertionError(f"{method}: {message['error']}")
        return dict(message["result"])

    def open(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        self.wait_until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """The value of an expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def wait_until(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression holds."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, (expression, self.complaints, self.value("document.body.innerText"))
            time.sleep(0.05)

    def press(self, key: str, text: str = "", modifiers: int = 0) -> None:
        """Press a key where the focus is; Enter and Tab need their codes."""
        code = {"Enter": 13, "Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, "Escape": 27, " ": 32}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                      modifiers=modifiers, text=text if kind == "keyDown" else "")  # fmt: skip

    def type(self, text: str) -> None:
        """Write a text where the focus is."""
        self.call("Input.insertText", text=text)

    def point_at(self, selector: str) -> None:
        """Move the mouse over an element."""
        x, y = self.value(f"(() => {{ const r = document.querySelector({selector!r}).getBoundingClientRect();"
                          " return [r.x + r.width / 2, r.y + r.height / 2]; })()")  # fmt: skip
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def show_as(self, width: int, height: int, *, is_dark: bool) -> None:
        """Be a screen of so many pixels, light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Save what the screen shows."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.addresses.append(params["request"]["url"])
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:500])
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])


@contextmanager
def browsing(folder: Path) -> Iterator[Page]:
    """A browser with one empty tab; its profile stands in ``folder``."""
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip("no chromium here: the page cannot be driven")
    command = [browser, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_tab(_port(folder)), max_size=None, proxy=None) as socket:
            yield Page(socket)
    finally:
        process.kill()
        process.wait()


def _port(folder: Path) -> int:
    file, end = folder / "DevToolsActivePort", time.monotonic() + 60
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < end, "chromium did not start"
        time.sleep(0.05)
    return int(file.read_text().split()[0])


def _tab(port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
        tabs = json.load(answer)
    return str(next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"])
