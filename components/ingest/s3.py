"""Objects in S3, on Amazon's or any other server that speaks it.

In: an address ``s3://bucket/glob`` and how to sign. Out: the versions that match it, and whole files below the
cache's partial folder. In between: every range is asked for with ``If-Match``, so a file never mixes two versions; a
body that is cut is asked for again, which botocore does not do.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from components.core import s3
from components.core.errors import SourceError
from components.core.progress import Progress
from components.ingest import transfer
from components.ingest.cache import Cache
from components.ingest.config import SourceFiles
from components.ingest.transfer import TransientError, Version, keep_on, refuse

PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 8
_MAGIC = re.compile(r"[*?\[]")
_CHANGED, _TRANSIENT = "412", {"500", "502", "503", "504", "429"}


def open_client(source: SourceFiles) -> BaseClient:
    """A client as the source wants it. Raises SourceError."""
    config = Config(
        signature_version=botocore.UNSIGNED if source.s3_anonymous else None,
        s3={"addressing_style": "path"} if source.s3_endpoint_url else None,
        retries={"mode": "standard", "total_max_attempts": transfer.ATTEMPTS},
        connect_timeout=transfer.CONNECT_SECONDS, read_timeout=transfer.STALL_SECONDS,
        max_pool_connections=_PARTS_AT_ONCE,
    )  # fmt: skip
    client: BaseClient = s3.open_client(SourceError, endpoint_url=source.s3_endpoint_url, config=config)
    return client


def list_versions(client: BaseClient, pattern: str) -> Iterator[Version]:
    """Every object that ``s3://bucket/glob`` names, in the order of the keys. Raises SourceError."""
    bucket, key = s3.split_address(pattern)
    with _told(pattern):
        if not _MAGIC.search(key):
            head = client.head_object(Bucket=bucket, Key=key)
            yield Version(pattern, head["ContentLength"], head["ETag"])
            return
        matches = translate_glob(key)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_MAGIC.split(key)[0])
        for entry in (entry for page in pages for entry in page.get("Contents", ())):
            if matches.fullmatch(entry["Key"]) and not entry["Key"].endswith("/"):
                yield Version(f"s3://{bucket}/{entry['Key']}", entry["Size"], entry["ETag"])


def download(client: BaseClient, version: Version, cache: Cache) -> Path:
    """Fetch the object in just this version, several ranges at once. Raises SourceError."""
    partial = cache.partial(version.address, version.etag)
    start, end = partial.stat().st_size, version.bytes or 0
    progress = Progress(version.address, total=end - start, unit="bytes")
    with _told(version.address), progress, partial.open("ab") as file, ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
        for part in _parts(pool, client, version, range(start, end, PART_BYTES)):
            progress.advance(file.write(part))
    return partial


def _parts(pool: ThreadPoolExecutor, client: BaseClient, version: Version, starts: range) -> Iterator[bytes]:
    """The ranges in order, the next few of them on their way."""
    waiting: deque[Future[bytes]] = deque()
    for start in starts:
        waiting.append(pool.submit(_read_part, client, version, start, min(start + PART_BYTES, starts.stop)))
        if len(waiting) == _PARTS_AT_ONCE:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read_part(client: BaseClient, version: Version, start: int, end: int) -> bytes:
    """The bytes of the object from ``start`` up to ``end``, asked for again from where a body was cut."""
    part = bytearray()

    def step() -> None:
        for piece in _open_range(client, version, start + len(part), end):
            part.extend(piece)
        if len(part) != end - start:
            raise TransientError(f"{len(part):,} bytes of {end - start:,}")

    keep_on(version.address, step, lambda: len(part))
    return bytes(part)


def _open_range(client: BaseClient, version: Version, start: int, end: int) -> Iterator[bytes]:
    bucket, key = s3.split_address(version.address)
    try:
        answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=version.etag)
        yield from answer["Body"].iter_chunks(transfer.PIECE_BYTES)
    except ClientError as error:
        if str(_status(error)) in _TRANSIENT:
            raise TransientError(str(error)) from None
        raise
    except (HTTPClientError, BotoCoreError) as error:
        raise TransientError(str(error)) from None


def translate_glob(pattern: str) -> re.Pattern[str]:
    """A glob over keys: ``**/`` is any number of folders, ``*`` and ``?`` stay in one, ``[…]`` is a set."""
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    kinds = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = (kinds.get(token) or (token if token.startswith("[") else re.escape(token)) for token in tokens)
    return re.compile("".join(parts))


def _status(error: ClientError) -> Any:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")


@contextmanager
def _told(address: str) -> Iterator[None]:
    """What S3 refuses, in the words of a source."""
    fix = "look at the bucket, the key, the AWS_… variables, or set `s3_anonymous: true` for a public bucket"
    with s3.explained(SourceError, f"source {address}", expected="an object that may be read", fix=fix):
        try:
            yield
        except ClientError as error:
            if str(_status(error)) != _CHANGED:
                raise
            raise refuse(address, "another version than a moment ago", "one version from the first byte to the last",
                         "run `pedigree refresh` when nobody writes there") from None  # fmt: skip
