"""Texts out of files.

In: a pinned file, or one inside an archive. Out: its documents in order, one item each. In between: no more than
one document, one Parquet batch and a few buffers are in memory; whatever cannot be read is an item with a reason;
of a damaged compressed file nothing is kept that its checksums do not vouch for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from components.ingest.archives import read_members
from components.ingest.config import FilesSource
from components.ingest.dumps import read_dump
from components.ingest.formats import (
    ARCHIVES,
    DAMAGE,
    ExpandsTooFarError,
    find_damage,
    open_plain,
    raise_if_of_machine,
    split_suffixes,
)
from components.ingest.items import Item
from components.ingest.limits import Limits
from components.ingest.pages import read_html, read_warc
from components.ingest.tables import read_parquet
from components.ingest.texts import bad_byte, read_csv, read_jsonl, read_txt

_Reader = Callable[[BinaryIO, str, FilesSource, Limits], Iterator[Item]]


def read_file(path: Path, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The documents of the file at ``path``, which its documents know as ``name``.

    Positions are ``name#3`` for the third line, row, record or piece, ``name#12`` for the page 12 of a dump,
    ``name/member`` inside an archive, and ``name`` for a whole file or a fault of all of it.
    """
    with path.open("rb") as file:
        yield from read_stream(file, name, source, limits)


def read_stream(file: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    """The documents of a seekable file. An archive inside an archive is an item with a reason."""
    if damage := find_damage(file, name, limits.max_expanded_bytes):
        yield Item(name, "", reason=damage[0], detail=damage[1])
        return
    number = 0
    try:
        for item in _read_plain(file, name, source, limits):
            number += 1
            yield item
    except ExpandsTooFarError as error:
        yield Item(name, "", reason="too_large", detail=f"after {number} documents: {error}")
    except UnicodeDecodeError as error:
        yield Item(name, "", reason="wrong_encoding", detail=f"after {number} documents: {bad_byte(error)}")
    except (*DAMAGE, pa.ArrowException) as error:
        raise_if_of_machine(error)
        yield Item(name, "", reason="unreadable", detail=f"after {number} documents: {' '.join(str(error).split())}")
    else:
        if number == 0:
            yield Item(name, "", reason="empty", detail="nothing in the file")


def _read_plain(file: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    suffix = split_suffixes(name)[0]
    stream = open_plain(file, name, limits.max_expanded_bytes)
    if suffix in ARCHIVES:
        yield from _read_archive(stream if suffix == ".tar" else file, name, source, limits)
    else:
        yield from _READERS[suffix](stream, name, source, limits)


def _read_archive(file: BinaryIO, name: str, source: FilesSource, limits: Limits) -> Iterator[Item]:
    for member, content in read_members(file, name, limits):
        if isinstance(content, Item):
            yield content
        else:
            yield from read_stream(cast(BinaryIO, content), member, source, limits)


_READERS: dict[str, _Reader] = {
    ".txt": read_txt,
    ".md": read_txt,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".html": read_html,
    ".warc": read_warc,
    ".wet": read_warc,
    ".xml": read_dump,
}
