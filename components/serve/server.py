"""The process: listens, serves, and at SIGTERM or Ctrl-C finishes what runs before it ends.

In: a config and a source of versions. Out: nothing, until it is told to end; what has not ended when its time is over
is told so. In between: a connection that does not say what it wants within the time is closed, so that silent ones
cannot pile up, and so is one that does not take what is sent to it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from components.core.errors import WorkspaceError
from components.serve.app import Service, make_app
from components.serve.config import ServeConfig
from components.serve.errors import invalid
from components.serve.versions import Source
from components.serve.watch import log_to_standard_error

# The lanes leave Python for about a millisecond at a time; whoever holds it then must not keep it for longer.
_SWITCH_SECONDS = 0.0005
_LAST_SECONDS = 1  # for who has not gone when all answers have ended: who does not read, or has not said what it wants
_BACKLOG = 4096  # connections that may wait to be taken


def serve(config: ServeConfig, source: Source) -> int:
    """Serve until SIGTERM or Ctrl-C; returns 0. Raises WorkspaceError when the address is taken."""
    log_to_standard_error()
    sys.setswitchinterval(_SWITCH_SECONDS)
    _allow_many_connections()
    listener = _listen(config)
    address = listener.getsockname()
    print(f"Playground and API: http://{config.host}:{address[1]} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    asyncio.run(_serve(config, source, listener))
    return 0


async def _serve(config: ServeConfig, source: Source, listener: socket.socket) -> None:
    service = Service(config, source)
    options = uvicorn.Config(
        make_app(service), http=_protocol(config.read_seconds), ws="none", log_config=None, access_log=False,
        server_header=False, date_header=False, backlog=_BACKLOG, timeout_keep_alive=30,
        timeout_graceful_shutdown=math.ceil(config.drain_seconds) + _LAST_SECONDS, proxy_headers=False,
    )  # fmt: skip
    gc.freeze()  # what is there now stays: the collector need not look at it again
    await _Server(options, service).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Says that it is not ready as soon as it is told to end, and ends as one that has done its work."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM or SIGINT has come."""
        self._service.drain()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear both signals; unlike uvicorn's own, does not raise them again when all is finished."""
        loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


class _Protocol(H11Protocol):
    """Closes a connection on which no request begins, or one that began does not end its head, within the time."""

    seconds: float
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._end = self.loop.call_later(self.seconds, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()
        elif self._end is None:
            self._end = self.loop.call_later(self.seconds, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told so in the form of all refusals, unless an answer is on its way already."""
        if not (self._is_answering() and self.cycle.response_started):
            self.transport.write(_no_http(msg))
        self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _stop_waiting(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None


def _protocol(read_seconds: float) -> type[H11Protocol]:
    class Protocol(_Protocol):
        seconds = read_seconds

    return Protocol


def _no_http(message: str) -> bytes:
    body = json.dumps(invalid(message).body)
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
    return f"HTTP/1.1 400 Bad Request\r\n{head}\r\n\r\n{body}".encode()


def _listen(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # Named as TCP, because asyncio only then lets small packets go at once.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Of every connection: who takes nothing of what waits for it for so long is cut off, and the memory is free again.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * config.timeout_seconds))
    try:
        listener.bind((config.host, config.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        raise WorkspaceError(where, found=str(error), expected="a free address", fix="try another --port") from None
    return listener


def _allow_many_connections() -> None:
    """Each connection is an open file; the usual soft limit is about a thousand."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
