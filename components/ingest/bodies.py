"""The body of an HTTP answer as its server meant it: chunks joined, compression undone.

In: a body as it went over the wire, and its headers. Out: the bytes of the page. In between: no more than the bytes
that were granted; a body that was cut raises ValueError, and harms nobody but itself.
"""

from __future__ import annotations

import zlib

_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS


def decode_body(body: bytes, transfer_encoding: str, content_encoding: str, max_bytes: int) -> bytes:
    """The first ``max_bytes`` of the page. Raises ValueError for what is damaged or of an unknown encoding."""
    if transfer_encoding.lower() == "chunked":
        body = join_chunks(body)
    if content_encoding.lower() in ("", "identity"):
        return body[:max_bytes]
    if content_encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"Content-Encoding {content_encoding}")
    decompressor = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        page = decompressor.decompress(body, max_bytes)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not decompressor.eof and len(page) < max_bytes:
        raise ValueError("the compressed body ends too early")
    return page


def join_chunks(body: bytes) -> bytes:
    """A chunked body (RFC 9112, section 7.1) as one. Raises ValueError."""
    chunks: list[bytes] = []
    position = 0
    while True:
        end = body.find(b"\r\n", position)
        size = int(body[position:end].partition(b";")[0] or b"x", 16) if end >= 0 else -1
        if size < 0 or len(body) < end + 2 + size:
            raise ValueError("the chunked body ends too early")
        if size == 0:
            return b"".join(chunks)
        chunks.append(body[end + 2 : end + 2 + size])
        position = end + 2 + size + 2
