"""Pages out of a MediaWiki XML dump (schema export-0.x), a page at a time.

In: the XML as UTF-8. Out: one item for each page; redirects and pages of other namespaces are items with that reason.
In between: the text of a page is escaped, so ``<page>`` and ``</page>`` can stand nowhere else, and each page is
parsed on its own: a faulty one is one reject, and its neighbours are read. A document type is refused before the
first page, so there are no entities but the five of XML.

What the header says of its language and wiki is not believed; its words for File and Category are taken besides
those that ``components.ingest.wikitext`` knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from components.ingest.config import FilesSource
from components.ingest.items import NO_PROSE, NOT_TEXT, OTHER_NAMESPACE, REDIRECT, UNREADABLE, Item
from components.ingest.limits import Limits
from components.ingest.texts import show
from components.ingest.wikitext import FURNITURE, extract_prose

_START, _END, _LAST = b"<page>", b"</page>", b"</mediawiki>"
_READ_BYTES, _HEADER_BYTES = 1 << 20, 1 << 20
# A page holds more than its text: names, comments, and each & as five bytes.
_PAGE_FACTOR, _PAGE_EXTRA_BYTES = 5, 1 << 16
_MAX_PAGES = 1 << 31
_FURNITURE_KEYS = ("6", "14")  # of the namespaces File and Category


def read_dump(stream: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The prose of each page in ``source.namespaces``. Raises OSError and EOFError for what is no whole dump."""
    pieces = _cut(stream, limits.max_document_bytes * _PAGE_FACTOR + _PAGE_EXTRA_BYTES)
    furniture, seen = FURNITURE | _read_header(next(pieces)), _Numbers()
    for number, piece in enumerate(pieces, start=1):
        position = f"{name}#piece {number}"
        if len(piece) > limits.max_document_bytes * _PAGE_FACTOR + _PAGE_EXTRA_BYTES:
            yield Item(position, show(piece), reason="too_large", detail=f"a page of more than {len(piece):,} bytes")
        elif not piece.startswith(_START):
            yield Item(position, show(piece), reason="unreadable", detail="this stands between two pages")
        else:
            item = _read_page(piece, name, source, furniture)
            if item.reason == UNREADABLE or not seen.add(item.position.rpartition("#")[2]):
                detail = item.detail or f"a second page {item.position}"
                item = replace(item, position=position, reason=item.reason or "duplicate_id", detail=detail)
            yield item


def _cut(stream: BinaryIO, max_page_bytes: int) -> Iterator[bytes]:
    """The header, then every page, and whatever else stands between two; of a page too large the first bytes."""
    scanner = _Scanner(stream)
    header, has_pages = scanner.take(_START, _HEADER_BYTES)
    yield header
    while has_pages:
        page, is_whole = scanner.take(_END, max_page_bytes)
        if not is_whole:
            raise EOFError("the dump ends inside a page")
        yield _START + page + _END
        gap, has_pages = scanner.take(_START, _HEADER_BYTES)
        if not has_pages and gap.strip() != _LAST:
            raise EOFError("the dump ends without </mediawiki>")
        if has_pages and gap.strip():
            yield gap


class _Scanner:
    """Takes a stream apart at marks; a part that is too long is cut, so that memory is bounded."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._buffer = stream, bytearray()

    def take(self, mark: bytes, max_bytes: int) -> tuple[bytes, bool]:
        """What stands before the next ``mark`` (of more than ``max_bytes`` the first), and whether there is one."""
        taken, searched = b"", 0
        while (place := self._buffer.find(mark, searched)) < 0:
            searched = max(0, len(self._buffer) - len(mark) + 1)
            if searched > max_bytes:
                taken, searched = taken or bytes(self._buffer[: max_bytes + 1]), 0
                del self._buffer[: 1 - len(mark)]
            if not (data := self._stream.read(_READ_BYTES)):
                place = len(self._buffer)
                break
            self._buffer += data
        is_found = place < len(self._buffer)
        taken = taken or bytes(self._buffer[:place])
        del self._buffer[: place + len(mark)]
        return taken, is_found


def _read_header(header: bytes) -> frozenset[str]:
    """The words of this wiki for File and Category. Raises OSError for what does not begin as a dump does."""
    words: set[str] = set()
    path: list[str] = []
    parser = expat.ParserCreate("utf-8")

    def start(element: str, attributes: dict[str, str]) -> None:
        if not path and element != "mediawiki":
            raise OSError(f"the first element is <{element}>, expected <mediawiki>")
        path.append(attributes.get("key", element))

    def words_of(text: str) -> None:
        if path[-1] in _FURNITURE_KEYS:
            words.add(text.strip().lower())

    def refuse(*_: object) -> None:
        raise OSError("it declares a document type, which no dump does")

    parser.StartElementHandler, parser.CharacterDataHandler = start, words_of
    parser.EndElementHandler = lambda _: path.pop()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(header, False)
    except expat.ExpatError as error:
        raise OSError(f"its header is no XML: {error}") from None
    return frozenset(words)


def _read_page(data: bytes, name: str, source: FilesSource, furniture: frozenset[str]) -> Item:
    try:
        page = ElementTree.fromstring(data)  # noqa: S314 - begins with <page>: no document type
    except ElementTree.ParseError as error:
        return Item(name, show(data), reason=UNREADABLE, detail=f"no well-formed page: {error}")
    position, title = f"{name}#{page.findtext('id', '')}", page.findtext("title", "")
    revision = (page.findall("revision") or [page])[-1]
    meta = {"title": title, "revision": revision.findtext("id", "")}
    wikitext = revision.findtext("text", "")
    if problem := _left_out(page, revision, wikitext, source):
        return Item(position, title, meta, *problem)
    prose = extract_prose(wikitext, furniture)
    return (
        Item(position, prose, meta) if prose else Item(position, title, meta, NO_PROSE, "only templates and the like")
    )


def _left_out(page: Element, revision: Element, wikitext: str, source: FilesSource) -> tuple[str, str] | None:
    """Why a page is not wanted, as (reason, detail)."""
    redirect, namespace = page.find("redirect"), page.findtext("ns", "0")
    if redirect is not None or wikitext[:9].lower() == "#redirect":
        return REDIRECT, f"to {redirect.get('title', '')}" if redirect is not None else wikitext.partition("\n")[0]
    if not namespace.lstrip("-").isdecimal() or int(namespace) not in source.namespaces:
        return OTHER_NAMESPACE, f"namespace {namespace}, expected {', '.join(map(str, source.namespaces))}"
    if (model := revision.findtext("model", "wikitext")) != "wikitext":
        return NOT_TEXT, f"of the model {model}"
    return None


class _Numbers:
    """The numbers of the pages so far, one bit each: a dump has tens of millions."""

    def __init__(self) -> None:
        self._bits = bytearray(1 << 16)

    def add(self, digits: str) -> bool:
        """Whether this is the number of a page that was not there yet."""
        if not digits.isdecimal() or (number := int(digits)) >= _MAX_PAGES:
            return False
        if number >> 3 >= len(self._bits):
            self._bits.extend(bytes(number >> 3))
        is_new = not self._bits[number >> 3] >> (number & 7) & 1
        self._bits[number >> 3] |= 1 << (number & 7)
        return is_new
