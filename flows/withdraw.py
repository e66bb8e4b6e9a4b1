"""`pedigree withdraw`: keep a document, a record, a text, a source or all under a licence out of the next training.

In: what to withdraw. Out: withdrawn.json and the locks of sources, after a yes. In between: nothing is withdrawn that
was not shown: which versions were trained on it, which documents go, and what runs again. Copies of a text go with it,
or one of them would take its place.

Covered: the identity of the document, every copy that preprocess dropped in its favour, and the exact text wherever
else it stands; of a text every collected record in which it stands. Not covered: versions that were trained on it
already, which stay until they are deleted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from components.core.collected import read_records
from components.core.documents import REJECTS, read_row_groups
from components.core.files import sha256_bytes
from components.core.lock import hold_workspace
from components.provenance.lessons import texts_in
from flows.archive import DATA
from flows.impact import Question, show, understand
from flows.refresh import ask

if TYPE_CHECKING:
    from components.ingest import Withdrawn

_INGEST, _CORPUS, _COLLECTED = DATA / "ingest", DATA / "preprocess", DATA / "collect"
_IDENTITY = re.compile(r"\b[0-9a-f]{32}\b")


def withdraw(what: str, *, is_agreed: bool) -> int:
    """Show what would go, and withdraw it after a yes; returns 0. Raises PedigreeError."""
    from flows.impact import seen_versions
    from flows.withdrawn import add

    with hold_workspace("pedigree withdraw"):
        versions = list(seen_versions())
        question = understand(what, versions)
        show(question, versions)
        more = _to_withdraw(question)
        print(*_what_goes(more), sep="\n")
        if not is_agreed and not ask("Withdraw this?"):
            print("Nothing was withdrawn; `pedigree withdraw --yes` withdraws what is shown above.")
            return 0
        add(more)
    print("Withdrawn, in withdrawn.json and the locks of sources.")
    _show_plan()
    return 0


def _to_withdraw(question: Question) -> Withdrawn:
    from components.ingest import Withdrawn

    if question.kind == "source":
        return Withdrawn(sources=(question.name,))
    if question.kind == "licence":
        return Withdrawn(licences=(question.name,))
    texts = {question.text} if question.kind == "text" else set()
    documents = set(_with_copies(set(_documents_of(question))))
    texts |= set(_texts_of(documents))
    digests = sorted(sha256_bytes(text.encode()) for text in texts)
    return Withdrawn(documents=tuple(sorted(documents)), texts=tuple(digests))


def _documents_of(question: Question) -> Iterator[str]:
    """The documents that are meant: the one of that name, or those whose text it is, raw or as the corpus has it.

    Records are meant as documents are, by their name or by any text in them.
    """
    if question.kind == "document":
        yield question.name
        return
    for folder in (_INGEST, _CORPUS):
        for table in read_row_groups(folder, ["doc_id", "text"]) if folder.exists() else ():
            rows = zip(table.column("doc_id").to_pylist(), table.column("text").to_pylist(), strict=True)
            yield from (doc_id for doc_id, text in rows if text in question.texts)
    for record in _records():
        if {record["text"], *texts_in(json.loads(record["text"]))} & set(question.texts):
            yield record["record_id"]


def _records() -> list[dict[str, Any]]:
    """The collected records of this workspace."""
    return read_records(_COLLECTED).to_pylist() if _COLLECTED.exists() else []


def _with_copies(documents: set[str]) -> set[str]:
    """The documents with the texts that were kept for them, and with all that were dropped for those."""
    path = _CORPUS / REJECTS
    rows = pq.read_table(path, columns=["doc_id", "detail"]).to_pylist() if path.exists() else []
    pairs = [(row["doc_id"], found[0]) for row in rows if (found := _IDENTITY.search(row["detail"]))]
    kept = documents | {original for copy, original in pairs if copy in documents}
    return kept | {copy for copy, original in pairs if original in kept}


def _texts_of(documents: set[str]) -> Iterator[str]:
    """The raw texts of documents and records, as ``ingest`` and ``collect`` read them."""
    for table in read_row_groups(_INGEST, ["doc_id", "text"]) if _INGEST.exists() else ():
        rows = zip(table.column("doc_id").to_pylist(), table.column("text").to_pylist(), strict=True)
        yield from (text for doc_id, text in rows if doc_id in documents)
    yield from (record["text"] for record in _records() if record["record_id"] in documents)


def _what_goes(more: Withdrawn) -> Iterator[str]:
    """What would leave the corpus of this workspace, a line for each split, and the records."""
    yield "Would go:"
    for kind, names in more.model_dump().items():
        shown = ", ".join(name[:32] for name in names[:5]) + (", ..." if len(names) > 5 else "")
        yield from [f"  {len(names)} {kind}: {shown}"] if names else []
    counts, sizes = Counter[str](), Counter[str]()
    for table in read_row_groups(_CORPUS) if _CORPUS.exists() else ():
        for row in table.select(["doc_id", "text", "source", "licence", "split"]).to_pylist():
            if more.covers(row["doc_id"], row["text"], row["source"], row["licence"]):
                counts[row["split"]] += 1
                sizes[row["split"]] += len(row["text"].encode())
    for split in sorted(counts):
        yield f"  from {split}: {counts[split]:,} documents of this workspace's corpus, {sizes[split]:,} bytes"
    names = ("record_id", "text", "source", "licence")
    if records := sum(more.covers(*(record[name] for name in names)) for record in _records()):
        yield f"  {records:,} collected records of this workspace"
    if not counts and not records:
        yield "  no document of this workspace's corpus"


def _show_plan() -> None:
    """What would run again now."""
    from flows.plan import make_plan

    if Path("dvc.lock").exists():
        print("Would run again:", *make_plan().lines(), sep="\n")
    print("`pedigree run` trains without it, and the gate judges the new version against the champion.")
