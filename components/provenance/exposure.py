"""Which documents a training saw, and when first: an index that answers in milliseconds.

In: the corpus, the packed tokens and the first step of each window. Out: two files of rows that are searched where
they lie, and a summary. In between: a document is found by its identity, by its text, or as a copy of a text that
was kept; the summary names the digest of both files, and a signed statement names the digest of the summary.

What a fine-tuning learned from is indexed in the same way (``components.provenance.lessons``).

    places-DIGEST/places.bin    key (16 bytes), row in the training split, kind, sorted by key; one for each corpus
    steps-DIGEST/steps.bin      first step of each document of the training split, or -1; one for each training
    steps-DIGEST/summary.json   documents and first step of each source and licence, and the digests of the files
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from components.core.documents import REJECTS, read_row_groups
from components.core.errors import InputError
from components.core.files import canonical_json, digest_of, read_json, sha256_bytes, write_whole
from components.core.records import Record, read_record
from components.core.tokens import SPLITS, TokenSplit
from components.provenance.chain import TRAINING, artifacts_below, find_records
from components.provenance.paging import PagedRows, write_rows
from components.provenance.place import FOLDER
from components.provenance.statement import Resource

INDEX = FOLDER / "index"
PLACES, STEPS, SUMMARY = "places.bin", "steps.bin", "summary.json"
# What a statement calls the index of a training, before the digest of its record.
BYPRODUCT = "exposure of "
NEVER = -1
DOCUMENT, COPY, TEXT = range(3)
_KEY_BYTES = 16
_PLACE = np.dtype([("key", f"V{_KEY_BYTES}"), ("row", "<i4"), ("kind", "u1")])
_STEP = np.dtype("<i4")
# Rows of documents that are not in the training split.
ELSEWHERE = {"validation": -1, "test": -2, "": -3}
Place = tuple[bytes, int, int]  # key, row, kind
_COPY_OF = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Hit:
    """What a training has to do with a document: ``kind`` is how it was found, ``split`` where it stood.

    ``first_step`` is None where no step reached it.
    """

    kind: int
    split: str
    first_step: int | None


@dataclass(frozen=True)
class Total:
    """What a training has to do with a source or a licence: documents in its training split, and those seen."""

    documents: int
    seen: int
    first_step: int | None


def key_of_document(doc_id: str) -> bytes:
    """Where a document is looked for by its identity."""
    return hashlib.sha256(b"document\0" + doc_id.encode()).digest()[:_KEY_BYTES]


def key_of_text(text: str) -> bytes:
    """Where a document is looked for by its text."""
    return hashlib.sha256(b"text\0" + text.encode()).digest()[:_KEY_BYTES]


class Exposure:
    """The index of one training. Raises InputError when it is not the one that ``digest`` stands for."""

    def __init__(self, index: Path, training: str, digest: str) -> None:
        folder = index / f"steps-{training}"
        self.summary = _read_summary(folder / SUMMARY, digest)
        places = index / f"places-{self.summary['places']['name']}" / PLACES
        self._places = PagedRows(places, _PLACE, self.summary["places"]["digest"])
        self._steps = PagedRows(folder / STEPS, _STEP, self.summary["steps"])

    def find(self, key: bytes) -> Hit | None:
        """What it has to do with the document of a key."""
        low, high = 0, len(self._places)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._places[middle]["key"].tobytes() < key else (low, middle)
        if low == len(self._places) or self._places[low]["key"].tobytes() != key:
            return None
        return self._hit(int(self._places[low]["row"]), int(self._places[low]["kind"]))

    @property
    def finetuned(self) -> str:
        """The name of the fine-tuned model whose training it was; '' where it was that of the model itself."""
        return str(self.summary.get("finetuned", ""))

    def total(self, by: str, name: str) -> Total | None:
        """What it has to do with a source or a licence (``by``); None when it had no document of it."""
        found = self.summary[by].get(name)
        return Total(**found) if found else None

    def first_step(self, row: int) -> int | None:
        """The step that first saw a document of the training split; None where no step reached it."""
        step = int(self._steps[row])
        return None if step == NEVER else step

    def _hit(self, row: int, kind: int) -> Hit:
        if row < 0:
            return Hit(kind, next(split for split, number in ELSEWHERE.items() if number == row), None)
        return Hit(kind, "train", self.first_step(row))


FirstSteps = Callable[[Mapping[str, Any], Path, Path, Path], npt.NDArray[np.int64]]


def index_trainings(index: Path, data: Path, model: str, window_steps: FirstSteps) -> list[Resource]:
    """Index every training behind a model (its digest), its own first; returns what a statement says of each index.

    ``window_steps(params, tokens, checks, model)`` gives the first step of each window. Raises InputError for an
    artifact that is not below ``data``.
    """
    folders = artifacts_below(data)
    records = {digest: read_record(folders[digest]) for digest in find_records(folders, {"model": model})}
    found = []
    for digest, record in records.items():
        if record.stage == TRAINING:
            tokens, checks = (folder_of(folders, record.inputs[name], record) for name in ("tokens", "checks"))
            packed = read_record(tokens).inputs["corpus"]
            corpus, names = folder_of(folders, packed, record), (packed, record.inputs["tokens"])
            raw = folder_of(folders, read_record(corpus).inputs["documents"], record)
            steps = window_steps(record.params, tokens, checks, folders[digest])
            summary = build(index, digest, (raw, corpus, tokens), steps, _licences(corpus), names)
            found.append(Resource(name=f"{BYPRODUCT}{digest}", digest={"sha256": summary}))
    return found


def build(
    index: Path, training: str, folders: tuple[Path, Path, Path], window_steps: npt.NDArray[np.int64],
    licences: Mapping[str, str], names: tuple[str, str],
) -> str:  # fmt: skip
    """Write the index of a training, its corpus only where it is not there; returns the digest of its summary.

    ``folders`` hold the documents as they were read, the corpus and its tokens.
    ``window_steps`` holds the first step of each window of the training split, or -1.  # [num_windows]
    ``licences`` maps sources to licences; ``names`` are the digests of corpus and tokens.
    """
    split = TokenSplit.open(folders[-1], "train")
    places = digest_of(dict(zip(("corpus", "tokens"), names, strict=True)))
    steps = first_steps(split, window_steps)
    return write_index(index, training, places, lambda: _places(*folders), steps, _totals(split, steps, licences))


def write_index(
    index: Path, training: str, name: str, find: Callable[[], Iterable[Place]], steps: npt.NDArray[np.int64],
    told: Mapping[str, Any],
) -> str:  # fmt: skip
    """Write the two files and the summary of a training, its places (``name``) only where they are not there.

    ``steps`` is the first step of each row or -1; ``told`` goes into the summary, whose digest is returned.
    """
    folder = index / f"places-{name}"
    if not (folder / "digest").exists():
        written = write_rows(folder / PLACES, _sorted(find()))
        write_whole(folder / "digest", written.encode())
    summary = {
        "places": {"name": name, "digest": (folder / "digest").read_text()},
        "steps": write_rows(index / f"steps-{training}" / STEPS, steps.astype(_STEP)),
        **told,
    }
    write_whole(index / f"steps-{training}" / SUMMARY, canonical_json(summary))
    return sha256_bytes(canonical_json(summary))


def first_steps(split: TokenSplit, window_steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first step that showed any token of each document, or -1.  # [num_documents]

    Documents of which a window shows a token are those of ``TokenSplit.windows_of``, here for all at once.
    """
    first, end = split.offsets[:-1], split.offsets[1:]
    begin = np.maximum(0, -(-first // split.context_tokens) - 1)
    stop = np.minimum(split.num_windows, (end - 1) // split.context_tokens + 1)
    far = np.iinfo(np.int64).max
    steps = np.append(np.where(window_steps == NEVER, far, window_steps), far)
    bounds = np.stack([np.minimum(begin, split.num_windows), stop], axis=1).ravel()
    lowest = np.minimum.reduceat(steps, bounds)[::2] if len(bounds) else np.zeros(0, np.int64)
    found: npt.NDArray[np.int64] = np.where((begin >= stop) | (lowest == far), NEVER, lowest)
    return found


def _places(raw: Path, corpus: Path, tokens: Path) -> Iterator[Place]:
    """The places of a training's documents, what was kept before its copies."""
    rows, copies = dict(_rows_of_documents(tokens)), dict(_copies(corpus))
    yield from _keys_of_corpus(corpus, rows)
    yield from _keys_of_copies(copies, rows)
    yield from _keys_of_raw_texts(raw, copies, rows)


def _sorted(found: Iterable[Place]) -> npt.NDArray[Any]:
    """The rows of ``places.bin``; of places with one key the first stays."""
    keys, places_of_keys, kinds = bytearray(), array("i"), bytearray()
    for key, row, kind in found:
        keys += key
        places_of_keys.append(row)
        kinds.append(kind)
    places = np.empty(len(kinds), dtype=_PLACE)
    sortable = np.frombuffer(bytes(keys), dtype=f"S{_KEY_BYTES}")
    order = np.argsort(sortable, kind="stable")
    places["key"] = sortable.view(f"V{_KEY_BYTES}")[order]
    places["row"] = np.frombuffer(places_of_keys, dtype=np.int32)[order]
    places["kind"] = np.frombuffer(bytes(kinds), dtype=np.uint8)[order]
    is_first = np.append(True, sortable[order][1:] != sortable[order][:-1]) if len(places) else np.zeros(0, bool)
    kept: npt.NDArray[Any] = places[is_first]
    return kept


def _rows_of_documents(tokens: Path) -> Iterator[tuple[str, int]]:
    for name in SPLITS:
        documents = TokenSplit.open(tokens, name).documents().column("doc_id").to_pylist()
        for row, doc_id in enumerate(documents):
            yield doc_id, row if name == "train" else ELSEWHERE[name]


def _keys_of_corpus(corpus: Path, rows: Mapping[str, int]) -> Iterator[Place]:
    for table in read_row_groups(corpus, ["doc_id", "text"]):
        for doc_id, text in zip(table.column("doc_id").to_pylist(), table.column("text").to_pylist(), strict=True):
            row = rows.get(doc_id, ELSEWHERE[""])
            yield key_of_document(doc_id), row, DOCUMENT
            yield key_of_text(text), row, TEXT


def _copies(corpus: Path) -> Iterator[tuple[str, str]]:
    """Documents that were dropped because another one says the same, which preprocess names in the detail."""
    rejects = pq.read_table(corpus / REJECTS, columns=["doc_id", "detail"])
    for doc_id, detail in zip(*(rejects.column(name).to_pylist() for name in ("doc_id", "detail")), strict=True):
        if kept := _COPY_OF.search(detail):
            yield doc_id, kept[0]


def _keys_of_copies(copies: Mapping[str, str], rows: Mapping[str, int]) -> Iterator[Place]:
    for doc_id, kept in copies.items():
        if kept in rows:
            yield key_of_document(doc_id), rows[kept], COPY


def _keys_of_raw_texts(raw: Path, copies: Mapping[str, str], rows: Mapping[str, int]) -> Iterator[Place]:
    """Texts as their sources have them, before anything was mended, masked or found to be a copy."""
    for table in read_row_groups(raw, ["doc_id", "text"]):
        for doc_id, text in zip(table.column("doc_id").to_pylist(), table.column("text").to_pylist(), strict=True):
            kept = copies.get(doc_id, doc_id)
            if kept in rows:
                yield key_of_text(text), rows[kept], TEXT if kept == doc_id else COPY


def _licences(corpus: Path) -> dict[str, str]:
    """The licence of each source; it belongs to the source, so all its documents share it."""
    found: dict[str, str] = {}
    for table in read_row_groups(corpus, ["source", "licence"]):
        for row in table.group_by(["source", "licence"]).aggregate([]).to_pylist():
            found[row["source"]] = row["licence"]
    return found


def folder_of(folders: Mapping[str, Path], digest: str, record: Record) -> Path:
    """The folder of an input of a record. Raises InputError where it is not below ``data``."""
    if digest not in folders:
        fix = "`dvc checkout` or `pedigree run` brings it back"
        where, expected = f"stage {record.stage}, input {digest[:16]}", "the artifact that it was made from"
        raise InputError(where, found="not below data", expected=expected, fix=fix)
    return folders[digest]


def _totals(split: TokenSplit, steps: npt.NDArray[np.int64], licences: Mapping[str, str]) -> dict[str, Any]:
    sources = np.array(split.documents().column("source").to_pylist(), dtype=object)
    by_licence = np.array([licences.get(source, "") for source in sources.tolist()], dtype=object)
    return {"sources": sums_by(sources, steps), "licences": sums_by(by_licence, steps)}


def sums_by(names: npt.NDArray[Any], steps: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Of each name its rows, those that a step saw, and the first of these."""
    sums = {}
    for name in sorted(set(names.tolist())):
        chosen = steps[names == name]
        seen = chosen[chosen != NEVER]
        first = int(seen.min()) if len(seen) else None
        sums[name] = {"documents": len(chosen), "seen": len(seen), "first_step": first}
    return sums


def _read_summary(path: Path, digest: str) -> dict[str, Any]:
    fix = "run `pedigree run register`: the index is made again"
    if not path.is_file():
        raise InputError(str(path), found="no index on this machine", expected="that of the training", fix=fix)
    if (found := sha256_bytes(path.read_bytes())) != digest:
        raise InputError(str(path), found=f"sha256 {found}", expected=f"sha256 {digest}, as attested", fix=fix)
    return dict(read_json(path))
