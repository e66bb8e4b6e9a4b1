"""The process: listens, serves, and at SIGTERM or Ctrl-C finishes what runs before it ends.

In: a config and a source of versions. Out: nothing, until it is told to end. In between: a connection that does not
say what it wants within the time is closed, so that silent ones cannot pile up.
"""

from __future__ import annotations

import asyncio
import gc
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
from components.serve.versions import Source
from components.serve.watch import log_to_standard_error

# The lanes leave Python for about a millisecond at a time; whoever holds it then must not keep it for longer.
_SWITCH_SECONDS = 0.0005
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
        timeout_graceful_shutdown=int(config.drain_seconds), proxy_headers=False,
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
        self._service.is_draining = True
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


def _protocol(read_seconds: float) -> type[H11Protocol]:
    class Protocol(H11Protocol):
        """Closes a connection on which no request has begun within the time."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(read_seconds, self._close_if_silent)

        def _close_if_silent(self) -> None:
            if not getattr(self, "cycle", None) and not self.transport.is_closing():
                self.transport.close()

    return Protocol


def _listen(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # Named as TCP, because asyncio only then lets small packets go at once.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
