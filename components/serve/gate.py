"""What every request passes on its way in: its host, key, share, size and time; and its line in the log.

In: a request as ASGI hands it over. Out: the same for the routes, or a refusal. In between: a body is read no
further than the limit and no longer than the limit, keys are compared in constant time, and whatever the routes
raise becomes an answer without a traceback. A browser that was lured to a name which then points to this machine (DNS
rebinding) sends that name as its host: only numeric addresses, localhost and names that were allowed are answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.serve.config import ServeConfig
from components.serve.errors import Refusal, broken, ending, no_key, too_large, too_many, too_slow, wrong_host
from components.serve.watch import Visit, Watch

# What anybody may see: the page itself, and what watches the server.
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/metrics"})
_MOST_CALLERS = 10_000
_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
_log = logging.getLogger("pedigree.serve")


class Gate:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, config: ServeConfig, watch: Watch) -> None:
        self._app, self._config, self._watch = app, config, watch
        self._keys = [_digest(key) for key in config.keys]
        self._shares = Shares(config.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = scope["visit"] = Visit(secrets.token_hex(8))
        send = _noting(visit, send)
        try:
            self._check_host(Headers(scope=scope).get("host", ""))
            self._admit(scope)
            await self._app(scope, self._bounded(scope, receive), send)
        except Refusal as refusal:
            await refuse(refusal, scope, receive, send)
        except asyncio.CancelledError:  # the server ends, and waits for nobody any more
            if not visit.status:
                await refuse(ending(), scope, receive, send)
        except Exception:  # noqa: BLE001 - whoever asked must not see what broke, and the server must go on
            _log.exception("a request failed", extra={"fields": {"request_id": visit.request_id}})
            if not visit.status:
                await refuse(broken(), scope, receive, send)
        finally:
            self._watch.left(visit)

    def _check_host(self, host: str) -> None:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if not _is_address(name.strip("[]")) and name.lower() not in ("localhost", *self._config.allowed_hosts):
            raise wrong_host(host)

    def _admit(self, scope: Scope) -> None:
        """Raises Refusal for a caller without a key or beyond its share, and for a body said to be too long."""
        if scope["path"] in OPEN_PATHS:
            return
        headers = Headers(scope=scope)
        scheme, _, key = headers.get("authorization", "").partition(" ")
        caller = _digest(key) if scheme.lower() == "bearer" else b""
        if self._keys and not any(hmac.compare_digest(caller, known) for known in self._keys):
            raise no_key()
        self._shares.take(caller if self._keys else (scope.get("client") or ("",))[0])
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._config.most_body_bytes:
            raise too_large(self._config.most_body_bytes)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """``receive``, which refuses a body that is too long or too slow."""
        left, end, is_read = self._config.most_body_bytes, time.monotonic() + self._config.read_seconds, False

        async def bounded() -> Message:
            nonlocal left, is_read
            if is_read:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), end - time.monotonic())
            except TimeoutError:
                raise too_slow("The request did not arrive in time.", 408) from None
            left -= len(message.get("body", b""))
            if left < 0:
                raise too_large(self._config.most_body_bytes)
            is_read = not message.get("more_body", False)
            return message

        return bounded


class Shares:
    """How many requests each caller has left: a bucket that fills up evenly (token bucket)."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[Any, tuple[float, float]] = OrderedDict()

    def take(self, caller: Any) -> None:
        """Take one request out of the caller's bucket. Raises Refusal when it is empty."""
        if not self._per_minute:
            return
        now = time.monotonic()
        level, since = self._buckets.pop(caller, (float(self._per_minute), now))
        level = min(self._per_minute, level + (now - since) * self._per_minute / 60)
        self._buckets[caller] = (max(level - 1, 0.0) if level >= 1 else level, now)
        while len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        if level < 1:
            raise too_many(self._per_minute, math.ceil((1 - level) * 60 / self._per_minute))


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the error body of a refusal."""
    response = JSONResponse(refusal.body, refusal.status_code, refusal.headers)
    await response(scope, receive, send)


def _is_address(name: str) -> bool:
    """Whether a host is a number, which no name server can point anywhere else."""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _noting(visit: Visit, send: Send) -> Send:
    """``send``, which notes the status and adds what every answer carries."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            visit.status = message["status"]
            present = {name for name, _ in message["headers"]}
            extra = {**_HEADERS, "x-request-id": visit.request_id}
            message["headers"] = [*message["headers"], *_encoded(extra.items(), present)]
        await send(message)

    return noting


def _encoded(pairs: Iterable[tuple[str, str]], present: set[bytes]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in pairs if name.encode() not in present]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", errors="surrogateescape")).digest()
