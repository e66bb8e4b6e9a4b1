"""What the models that were made from a model learned from, and when first: an index like that of a training.

In: examples, the collected records and the corpus that they were made of, the first step of each example. Out: an index
(``components.provenance.exposure``) whose rows are materials: records and documents. In between: a material is found by
its identity, by its whole text, and a record by every text that stands in it too, so that whoever wrote one of them can
ask for it; of several with one text the one that was learned from first. What became no example is set aside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from components.core.collected import read_records
from components.core.documents import read_row_groups
from components.core.examples import read_examples
from components.core.records import Record, read_record
from components.core.tokens import SPLITS
from components.provenance.chain import artifacts_below
from components.provenance.exposure import (
    BYPRODUCT,
    DOCUMENT,
    ELSEWHERE,
    NEVER,
    TEXT,
    Place,
    folder_of,
    key_of_document,
    key_of_text,
    sums_by,
    write_index,
)
from components.provenance.statement import Resource

# What the parts of a version are called that were made from its model.
FINETUNED = "finetuned/"
_RANKS = {split: rank for rank, split in enumerate((*SPLITS, ""))}
# The first step that learned from each usable example of the training split, or -1, by its identity; of the values and
# the folders ``model``, ``tokenizer``, ``examples`` and ``checks`` of all applications, and ``finetuned``.
ExampleSteps = Callable[[Mapping[str, Any], Mapping[str, Path]], Mapping[str, int]]


class Material(NamedTuple):
    """What examples were made of: ``split`` is '' where none could be used, ``step`` the first that saw one, or -1."""

    identity: str
    split: str
    source: str
    licence: str
    step: int

    @property
    def order(self) -> tuple[int, int, str]:
        """Before others: what was learned from, and early."""
        return _RANKS[self.split], self.step if self.step != NEVER else np.iinfo(np.int64).max, self.identity


def index_finetunings(index: Path, data: Path, ends: Mapping[str, str], example_steps: ExampleSteps) -> list[Resource]:
    """Index every fine-tuning among the parts of a version (their digests); returns what a statement says of each.

    Raises InputError for an artifact that is not below ``data``.
    """
    folders, found = artifacts_below(data), list[Resource]()
    for part, digest in sorted(ends.items()):
        if part.startswith(FINETUNED):
            record = read_record(folders[digest])
            steps = example_steps(record.params, {**_inputs(record, folders), "finetuned": folders[digest]})
            summary = _index(index, digest, part.removeprefix(FINETUNED), _examples(record, folders), steps, folders)
            found.append(Resource(name=f"{BYPRODUCT}{digest}", digest={"sha256": summary}))
    return found


def _examples(record: Record, folders: Mapping[str, Path]) -> dict[str, Path]:
    """The examples of each application that was learned."""
    names = record.params["applications"]
    return {name: folder_of(folders, record.inputs[f"examples/{name}"], record) for name in names}


def _inputs(record: Record, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Model and tokenizer, and the folders that hold the examples and the checks of all applications."""
    one = next(iter(record.params["applications"]))
    found = {name: folder_of(folders, record.inputs[name], record) for name in ("model", "tokenizer")}
    many = {name: folder_of(folders, record.inputs[f"{name}/{one}"], record).parent for name in ("examples", "checks")}
    return {**found, **many}


def _index(
    index: Path, digest: str, name: str, examples: Mapping[str, Path], steps: Mapping[str, int],
    folders: Mapping[str, Path],
) -> str:  # fmt: skip
    """Write the index of one fine-tuning; returns the digest of its summary."""
    materials = _materials(examples.values(), steps)
    learned = [material for material in materials if material.split == SPLITS[0]]
    rows = {material.identity: row for row, material in enumerate(learned)}
    rows |= {material.identity: ELSEWHERE[material.split] for material in materials[len(learned) :]}
    first = np.array([material.step for material in learned], np.int64)
    told = {
        "finetuned": name,
        "sources": sums_by(np.array([material.source for material in learned], dtype=object), first),
        "licences": sums_by(np.array([material.licence for material in learned], dtype=object), first),
    }
    return write_index(index, digest, digest, partial(_places, rows, examples, folders), first, told)


def _materials(examples: Iterable[Path], steps: Mapping[str, int]) -> list[Material]:
    """All materials in their order; of one that became several examples, the one that counts most."""
    found = dict[str, Material]()
    for folder in examples:
        table = read_examples(folder).select(["example_id", "group", "split", "source", "licence"])
        for example, group, split, source, licence in zip(*(c.to_pylist() for c in table.columns), strict=True):
            used = split if split != SPLITS[0] or example in steps else ""
            material = Material(group, used, source, licence, steps.get(example, NEVER))
            found[group] = min(found.get(group, material), material, key=lambda one: one.order)
    return sorted(found.values(), key=lambda one: one.order)


def _places(rows: Mapping[str, int], examples: Mapping[str, Path], folders: Mapping[str, Path]) -> list[Place]:
    """Where each material is found, in the order of the rows."""
    found, corpora = list[Place](), set[Path]()
    for application, folder in examples.items():
        record = read_record(folder)
        corpora.add(folder_of(folders, record.inputs["corpus"], record))
        collected = read_records(folder_of(folders, record.inputs["collected"], record), application)
        for identity, text in zip(*(collected.column(name).to_pylist() for name in ("record_id", "text")), strict=True):
            found += _keys(identity, [text, *texts_in(json.loads(text))], rows.get(identity, ELSEWHERE[""]))
    for corpus in corpora:
        for table in read_row_groups(corpus, ["doc_id", "text"]):
            for identity, text in zip(*(column.to_pylist() for column in table.columns), strict=True):
                if identity in rows:
                    found += _keys(identity, [text], rows[identity])
    return sorted(found, key=lambda place: (place[1] < 0, place[1]))


def _keys(identity: str, texts: Iterable[str], row: int) -> Iterator[Place]:
    yield key_of_document(identity), row, DOCUMENT
    yield from ((key_of_text(text), row, TEXT) for text in texts)


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a record, however deep it stands."""
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts_in(inner)
