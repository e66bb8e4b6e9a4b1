"""Servers on loopback that misbehave as the servers of the world do."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class WebServer:
    """Serves ``content``; each function in ``faults`` answers one request in its way, in their order, before that."""

    def __init__(self, content: bytes, *, has_ranges: bool = True, has_etag: bool = True) -> None:
        self.content, self.has_ranges, self.has_etag = content, has_ranges, has_etag
        self.faults: list[Callable[[Any], None]] = []
        self.requests: list[dict[str, str]] = []
        self.sent_bytes = 0

    @property
    def etag(self) -> str:
        return '"' + hashlib.sha256(self.content).hexdigest()[:16] + '"'

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: WebServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.owner.requests.append(dict(self.headers))
        if self.owner.faults:
            self.owner.faults.pop(0)(self)
        else:
            self.answer()

    def log_message(self, *_: object) -> None: ...

    def answer(self, cut: int | None = None, length: int | None = None, kind: str = "application/octet-stream") -> None:
        """Answer well; or send only ``cut`` bytes, or claim another ``length``."""
        owner, start = self.owner, 0
        if owner.has_etag and self.headers.get("If-None-Match") == owner.etag:
            self.head(304, 0)
            return
        wanted = self.headers.get("Range")
        if wanted and owner.has_ranges and self.headers.get("If-Range") in (None, owner.etag):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            if start >= len(owner.content):
                self.head(416, 0, {"Content-Range": f"bytes */{len(owner.content)}"})
                return
        data = owner.content[start:]
        ranged = {"Content-Range": f"bytes {start}-{len(owner.content) - 1}/{len(owner.content)}"} if start else {}
        self.head(206 if start else 200, len(data) if length is None else length, {"Content-Type": kind, **ranged})
        sent = data[:cut]
        owner.sent_bytes += len(sent)
        self.wfile.write(sent)

    def head(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if self.owner.has_etag:
            self.send_header("ETag", self.owner.etag)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()


def cut(num_bytes: int) -> Callable[[_Handler], None]:
    """The connection ends after some bytes of the body."""
    return lambda handler: handler.answer(cut=num_bytes)


def stall(handler: _Handler) -> None:
    """Half of the body, then silence."""
    handler.answer(cut=len(handler.owner.content) // 2)
    handler.wfile.flush()
    time.sleep(1.5)


def busy(handler: _Handler) -> None:
    """503, and when to come again."""
    handler.head(503, 0, {"Retry-After": "0"})


def lie(num_bytes: int) -> Callable[[_Handler], None]:
    """A length that is not the body's."""
    return lambda handler: handler.answer(length=num_bytes)


def html(handler: _Handler) -> None:
    """A page of HTML with status 200, as a captive portal sends it."""
    handler.owner.content, before = b"<html>please log in</html>", handler.owner.content
    handler.answer(kind="text/html; charset=utf-8")
    handler.owner.content = before


def other_range(handler: _Handler) -> None:
    """A part that begins elsewhere than asked."""
    handler.head(206, 4, {"Content-Range": "bytes 7-10/99"})
    handler.wfile.write(b"oops")


class CuttingProxy:
    """Passes connections on to ``target``; the first ``num_cuts`` answers to a range end after ``num_bytes``."""

    def __init__(self, target: str, num_cuts: int, num_bytes: int) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target, self.cuts_left, self._num_bytes = (host, int(port)), num_cuts, num_bytes
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        request = b""
        with connection, socket.create_connection(self._target) as upstream:
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            upstream.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            left = self._granted(request)
            while left and (data := upstream.recv(min(65536, left))):
                connection.sendall(data)
                left -= len(data)

    def _granted(self, request: bytes) -> int:
        with self._lock:
            if b"\r\nrange: bytes" in request.lower() and self.cuts_left:
                self.cuts_left -= 1
                return self._num_bytes
        return 1 << 40
