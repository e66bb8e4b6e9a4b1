"""Files on the web, by HTTP(S).

In: an address, and the version that is pinned. Out: a whole file below the cache's partial folder, or the news that
nothing changed. In between: a cut transfer goes on by range as long as a strong ETag vouches for the version
(RFC 9110, sections 13.1.5 and 14); the bytes are kept as they come, never decoded on the way.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import httpx

from components.core.progress import Progress
from components.ingest import transfer
from components.ingest.cache import Cache
from components.ingest.formats import split_suffixes
from components.ingest.transfer import TransientError, Version, keep_on, refuse

_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_UNCHANGED, _WHOLE, _PART, _RANGE_REFUSED = 304, 200, 206, 416


class Arrived(NamedTuple):
    """A whole file under a name that is not yet final, and the ETag it was sent with."""

    partial: Path
    etag: str | None


def file_name(address: str) -> str:
    """The last part of the address's path, as documents know the file."""
    return unquote(PurePosixPath(urlsplit(address).path).name)


def download(address: str, cache: Cache, known: Version | None, *, only_if_changed: bool) -> Arrived | None:
    """Fetch a file; None when ``only_if_changed`` and it still is the known version. Raises SourceError."""
    with httpx.Client(follow_redirects=True, timeout=_timeout()) as client, Progress(address, unit="bytes") as progress:
        moving = _Transfer(client, address, cache, known, progress, only_if_changed=only_if_changed)
        is_changed = keep_on(address, moving.step, lambda: moving.arrived_bytes)
        return Arrived(moving.partial, moving.etag) if is_changed else None


def _timeout() -> httpx.Timeout:
    return httpx.Timeout(transfer.STALL_SECONDS, connect=transfer.CONNECT_SECONDS)


class _Transfer:
    """One file on its way: every step asks for what is still missing."""

    def __init__(self, client: httpx.Client, address: str, cache: Cache, known: Version | None, progress: Progress,
                 *, only_if_changed: bool) -> None:  # fmt: skip
        self._client, self._address, self._cache, self._progress = client, address, cache, progress
        self._known_etag = known.etag if known and only_if_changed else None
        self.etag = None if only_if_changed else _strong(known.etag if known else None)
        self.partial = cache.partial(address, self.etag)

    @property
    def arrived_bytes(self) -> int:
        """How much of the file is there."""
        return self.partial.stat().st_size

    def step(self) -> bool:
        """Ask once and take what comes; False when the file is what it was. Raises TransientError, SourceError."""
        headers = {"Accept-Encoding": "identity"}
        if self._known_etag:
            headers["If-None-Match"] = self._known_etag
        elif self.etag and self.arrived_bytes:
            headers |= {"Range": f"bytes={self.arrived_bytes}-", "If-Range": self.etag}
        try:
            with self._client.stream("GET", self._address, headers=headers) as response:
                is_changed = self._take(response)
        except httpx.TransportError as error:
            raise TransientError(str(error) or type(error).__name__) from None
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise refuse(self._address, str(error), "an address of a file", "mend `paths`") from None
        return self.step() if is_changed is None else is_changed

    def _take(self, response: httpx.Response) -> bool | None:
        """Whether the file is another one than it was; None when it is to be asked for again, by range."""
        if response.status_code == _UNCHANGED and self._known_etag:
            return False
        self._known_etag = None
        if response.status_code == _RANGE_REFUSED:
            return self._is_complete(response)
        _check_answer(self._address, response)
        if response.status_code == _PART:
            self._check_range(response)
        elif not self._begin(response):
            return None
        with self.partial.open("ab") as file:
            for piece in response.iter_raw():  # as it comes: a buffer would be lost with the connection
                file.write(piece)
                self._progress.advance(len(piece))
        return True

    def _begin(self, response: httpx.Response) -> bool:
        """Make ready for a whole answer; False when an earlier try holds some of just this version."""
        self.etag = _strong(response.headers.get("ETag"))
        self.partial = self._cache.partial(self._address, self.etag)
        if self.arrived_bytes and "Range" not in response.request.headers:
            return False
        self.partial.write_bytes(b"")
        return True

    def _is_complete(self, response: httpx.Response) -> bool:
        if response.headers.get("Content-Range") == f"bytes */{self.arrived_bytes}":
            return True
        self.partial.write_bytes(b"")
        raise TransientError(f"no range from {self.arrived_bytes:,} on")

    def _check_range(self, response: httpx.Response) -> None:
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if start is None or int(start[1]) != self.arrived_bytes:
            self.partial.write_bytes(b"")
            raise TransientError(f"another range than was asked for: {response.headers.get('Content-Range')}")


def _strong(etag: str | None) -> str | None:
    return None if etag is None or etag.startswith("W/") else etag


def _check_answer(address: str, response: httpx.Response) -> None:
    status = response.status_code
    if status in _TRANSIENT:
        wait = response.headers.get("Retry-After", "")
        raise TransientError(f"status {status}", float(wait) if wait.isdecimal() else 0.0)
    if status not in (_WHOLE, _PART):
        raise refuse(address, f"status {status} {response.reason_phrase}", "the file", "mend the address in `paths`")
    kind, encoding = response.headers.get("Content-Type", ""), response.headers.get("Content-Encoding", "identity")
    suffix, compression = split_suffixes(file_name(address))
    if kind.startswith("text/html") and suffix != ".html":
        fix = "open the address in a browser: it may ask for a login, or for consent"
        raise refuse(address, "a page of HTML", f"a file {suffix}{compression}", fix)
    if encoding not in ("", "identity") and not compression:
        raise refuse(address, f"Content-Encoding {encoding}", "the file as it is", "ask its server for the plain file")
