"""Texts out of web pages: HTML files, and WARC and WET archives of crawls.

In: a page's bytes, or an archive of responses. Out: one item for each page, its main text without menus, notices
and other furniture. In between: a record costs no more memory than a few documents; responses that are no pages
(images, robots.txt, errors) are items with that reason, requests and metadata are no texts and pass by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from components.ingest.bodies import decode_body
from components.ingest.config import FilesSource
from components.ingest.html import extract_main_text
from components.ingest.items import NO_PROSE, NOT_TEXT, UNREADABLE, Item
from components.ingest.limits import Limits
from components.ingest.texts import decode, show

_PAGES = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion
_HTML_TYPES = ("text/html", "application/xhtml+xml")
# HTML is mostly markup: a page may be this many times larger than the largest document.
_PAGE_FACTOR = 4
_HTTP_HEADER_BYTES = 1 << 20
_OK = 200


def read_html(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The main text of one page."""
    if data := stream.read(_max_page_bytes(limits) + 1):
        yield _read_page(name, data, None, limits)


def read_warc(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The main text of each page that was answered with 200, and the text of each conversion record (WET).

    Raises EOFError when the archive ends inside a record, OSError for what is no WARC.
    """
    records = ArchiveIterator(_Forward(stream), record_types=_PAGES, parse_http=False, fsspec_args=False)
    for number, record in enumerate(records, start=1):
        url = (record.headers.get("WARC-Target-URI") or "").strip("<>")
        item = _read_record(f"{name}#{number}", record, limits)
        yield replace(item, meta={"url": url, "date": record.headers.get("WARC-Date") or ""})


class _Forward:
    """A stream that can only be read on; the library wants to know how far it is, and panics where it cannot."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._position = stream, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._position += len(data)
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError("a stream that can only be read on")

    def close(self) -> None: ...


def _read_record(position: str, record: WarcRecord, limits: Limits) -> Item:
    if record.headers.get("Content-Length") is None:
        raise EOFError("a record without a length")
    length = record.content_length
    if length > _max_page_bytes(limits) + _HTTP_HEADER_BYTES:
        return Item(position, "", reason="too_large", detail=f"a record of {length:,} bytes")
    record.freeze()
    if record.content_length != length:
        raise EOFError(f"a record has {record.content_length:,} bytes of {length:,}")
    if record.record_type == WarcRecordType.conversion:
        return decode(position, record.reader.read(limits.max_document_bytes + 1), limits)
    if record.is_http:
        record.parse_http(auto_decode="none")  # its decoders leave the archive unreadable after a damaged body
    return _read_content(position, record, limits)


def _read_content(position: str, record: WarcRecord, limits: Limits) -> Item:
    http = record.http_headers
    if http is not None and http.status_code != _OK:
        return Item(position, "", reason=NOT_TEXT, detail=f"answered with {http.status_code}")
    kind = record.http_content_type if http is not None else record.headers.get("Content-Type")
    if kind is None or kind.partition(";")[0].strip().lower() not in _HTML_TYPES:
        return Item(position, "", reason=NOT_TEXT, detail=f"of the type {kind}")
    body, encodings = record.reader.read(), ("", "")
    if http is not None:
        encodings = (http.get("Transfer-Encoding") or "", http.get("Content-Encoding") or "")
    try:
        page = decode_body(body, *encodings, _max_page_bytes(limits) + 1)
    except ValueError as error:
        return Item(position, show(body), reason=UNREADABLE, detail=str(error))
    return _read_page(position, page, record.http_charset, limits)


def _max_page_bytes(limits: Limits) -> int:
    return limits.max_document_bytes * _PAGE_FACTOR


def _read_page(position: str, data: bytes, charset: str | None, limits: Limits) -> Item:
    """``charset`` is what the server said; without, or when it does not fit, the page is asked and then its bytes."""
    if len(data) > _max_page_bytes(limits):
        return Item(
            position, show(data), reason="too_large", detail=f"a page of more than {_max_page_bytes(limits):,} bytes"
        )
    try:
        text = extract_main_text(bytes_to_str(data, charset or detect_encoding(data) or "utf-8"))
    except ValueError as error:
        return Item(position, show(data), reason=UNREADABLE, detail=str(error))
    return Item(position, text) if text.strip() else Item(position, "", reason=NO_PROSE, detail="a page without text")
