"""Where every item that a reader finds is entered: as a document or as a reject.

In: items and where they come from. Out: document shards, rejects and the books. In between: nothing that was
received is left out, and whoever runs the stage is told what could not be read.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from components.core.documents import Document, DocumentWriter, Reject, RejectsWriter, document_id, meta_json
from components.core.errors import SourceError
from components.core.stage import Books, Report
from components.ingest.config import IngestConfig
from components.ingest.items import EXPECTED, Item, examine
from components.ingest.lock import Withdrawn
from components.ingest.sources import Origin

_FAULTS_TOLD, WITHDRAWN = 10, "withdrawn"


class Ledger(ExitStack):
    """Writes documents and rejects into ``output`` and counts them; use it in a ``with`` block."""

    def __init__(self, config: IngestConfig, output: Path, withdrawn: Withdrawn) -> None:
        super().__init__()
        self._withdrawn = withdrawn
        self._config = config
        self._documents = DocumentWriter(output, config.shard_documents)
        self._rejects = RejectsWriter(output)
        self._kept = self._text_bytes = self._faults = 0
        self._first_faults: list[str] = []

    def __enter__(self) -> Self:
        self.enter_context(self._documents)
        self.enter_context(self._rejects)
        return self

    def enter(self, origin: Origin, found: Item) -> None:
        """Write one item where it belongs."""
        item = examine(found, self._config.max_document_bytes)
        doc_id, uri = document_id(origin.source, item.position), f"{origin.base}/{item.position}"
        if self._withdrawn.covers(doc_id, item.text, origin.source, origin.licence):
            # The text itself is not kept: that is what was asked for.
            self._rejects.add(Reject(doc_id, origin.source, uri, WITHDRAWN, "sources.lock.json withdraws it", ""))
            return
        if item.reason:
            self._reject(Reject(doc_id, origin.source, uri, item.reason, item.detail, item.text))
            return
        self._kept += 1
        self._text_bytes += len(item.text.encode())
        meta = meta_json(item.meta)
        self._documents.add(Document(doc_id, item.text, origin.source, uri, origin.licence, origin.language, meta))

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
            print(f"ingest: {told}; they are in rejects.parquet", file=sys.stderr)
            self._check_share(self._faults / books.received, told)
        return Report({"documents": self._kept, "text_bytes": self._text_bytes, "faults": self._faults}, books)

    def _check_share(self, share: float, told: str) -> None:
        limit = self._config.max_rejected_share
        if share > limit:
            raise SourceError(
                "ingest, sources",
                found=f"{told} ({share:.1%}): {'; '.join(self._first_faults[:3])}",
                expected=f"at most {limit:.1%} (ingest.max_rejected_share)",
                fix="mend or leave out those sources, or allow a larger share in params.yaml",
            )
