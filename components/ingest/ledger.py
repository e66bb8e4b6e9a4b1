"""Where every item that a reader finds is entered: as a document, as a record or as a reject.

In: items and where they come from. Out: document shards or records, rejects and the books. In between: nothing that was
received is left out, and whoever runs the stage is told what could not be read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from components.core.collected import FILE, RECORDS
from components.core.documents import (
    Document,
    DocumentWriter,
    Reject,
    RejectsWriter,
    TableWriter,
    document_id,
    meta_json,
)
from components.core.errors import SourceError
from components.core.stage import Books, Report
from components.ingest.config import CollectConfig, IngestConfig, RecordsSource
from components.ingest.items import EXPECTED, Item, examine
from components.ingest.lock import Withdrawn
from components.ingest.sources import Origin

_FAULTS_TOLD, WITHDRAWN = 10, "withdrawn"


class _Ledger(ExitStack):
    """Writes what is kept and rejects into ``output`` and counts them; use it in a ``with`` block."""

    _counted = "documents"

    def __init__(self, stage: str, kept: TableWriter, output: Path, withdrawn: Withdrawn,
                 max_bytes: int, limit_share: float) -> None:  # fmt: skip
        super().__init__()
        self._stage, self._writer, self._withdrawn = stage, kept, withdrawn
        self._max_bytes, self._limit_share = max_bytes, limit_share
        self._rejects = RejectsWriter(output)
        self._kept = self._text_bytes = self._faults = 0
        self._first_faults: list[str] = []

    def __enter__(self) -> Self:
        self.enter_context(self._writer)
        self.enter_context(self._rejects)
        return self

    def _enter(self, origin: Origin, found: Item, row: Callable[[str, str, Item], Sequence[Any]]) -> None:
        """Write one item where it belongs; a good one as ``row(identity, uri, item)``."""
        item = examine(found, self._max_bytes)
        doc_id, uri = document_id(origin.source, item.position), f"{origin.base}/{item.position}"
        if self._withdrawn.covers(doc_id, item.text, origin.source, origin.licence):
            # The text itself is not kept: that is what was asked for.
            self._rejects.add(Reject(doc_id, origin.source, uri, WITHDRAWN, "withdrawn.json withdraws it", ""))
            return
        if item.reason:
            self._reject(Reject(doc_id, origin.source, uri, item.reason, item.detail, item.text))
            return
        self._kept += 1
        self._text_bytes += len(item.text.encode())
        self._writer.add(row(doc_id, uri, item))

    def _reject(self, reject: Reject) -> None:
        self._rejects.add(reject)
        if reject.reason in EXPECTED:
            return
        self._faults += 1
        if len(self._first_faults) < _FAULTS_TOLD:
            self._first_faults.append(f"{reject.uri}: {reject.reason}: {reject.detail}")
            print(f"set aside: {self._first_faults[-1]}", file=sys.stderr)

    def close_books(self) -> Report:
        """The report of all that was entered. Raises SourceError when too much of it was faulty."""
        dropped = self._rejects.dropped
        books = Books(self._kept + sum(dropped.values()), self._kept, dropped)
        if self._faults:
            told = f"{self._faults:,} of {books.received:,} texts could not be read"
            print(f"{self._stage}: {told}; they are in rejects.parquet", file=sys.stderr)
            self._check_share(self._faults / books.received, told)
        return Report({self._counted: self._kept, "text_bytes": self._text_bytes, "faults": self._faults}, books)

    def _check_share(self, share: float, told: str) -> None:
        limit = self._limit_share
        if share > limit:
            raise SourceError(
                f"{self._stage}, sources",
                found=f"{told} ({share:.1%}): {'; '.join(self._first_faults[:3])}",
                expected=f"at most {limit:.1%} ({self._stage}.max_rejected_share)",
                fix="mend or leave out those sources, or allow a larger share in params.yaml",
            )


class Ledger(_Ledger):
    """Of documents."""

    def __init__(self, config: IngestConfig, output: Path, withdrawn: Withdrawn) -> None:
        writer = DocumentWriter(output, config.shard_documents)
        super().__init__("ingest", writer, output, withdrawn, config.max_document_bytes, config.max_rejected_share)

    def enter(self, origin: Origin, item: Item) -> None:
        """Write one text as a document or a reject."""

        def row(doc_id: str, uri: str, item: Item) -> Document:
            meta = meta_json(item.meta)
            return Document(doc_id, item.text, origin.source, uri, origin.licence, origin.language, meta)

        self._enter(origin, item, row)


class RecordsLedger(_Ledger):
    """Of collected records."""

    _counted = "records"

    def __init__(self, config: CollectConfig, output: Path, withdrawn: Withdrawn) -> None:
        writer = TableWriter(output, FILE, RECORDS)
        super().__init__("collect", writer, output, withdrawn, config.max_record_bytes, config.max_rejected_share)

    def enter(self, source: RecordsSource, item: Item) -> None:
        """Write one record, or a reject."""
        origin = Origin(source.name, source.name, source.licence, source.language)

        def row(record_id: str, uri: str, item: Item) -> tuple[str | None, ...]:
            return (record_id, source.application, source.name, uri, source.licence, source.language, source.split,
                    item.text)  # fmt: skip

        self._enter(origin, item, row)
