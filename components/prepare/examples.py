"""Drafts become examples, in their splits, as many as are wanted.

In: materials and an application's way to make drafts of them. Out: the tables of ``components.core.examples``. In
between: an example's identity is that of its material and its part; the books count every draft once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from components.applications import Application, Draft, Material
from components.applications.application import Body, Maker
from components.core.errors import ParamsError
from components.core.examples import EXAMPLES, REJECTED, Asked
from components.core.stage import Books, Config, Report
from components.core.tokens import SPLITS
from components.prepare.config import PrepareConfig

OVER_LIMIT = "over_limit"
_HASH_RANGE = 1 << 64


class _Placed(NamedTuple):
    identity: str
    split: str
    material: Material
    draft: Draft


class Desk:
    """Takes materials, and gives the examples that they make."""

    def __init__(self, config: PrepareConfig, application: Application, options: Config) -> None:
        self._config, self._application, self._options = config, application, options
        self._placed: list[_Placed] = []
        self._refused: list[tuple[str, str, str, str]] = []
        self._catalogue: set[str] = set()

    def take(self, make: Maker | None, materials: Sequence[Material]) -> None:
        """Make all drafts of the materials. Raises ParamsError where the application cannot."""
        if make is None:
            raise ParamsError(
                f"params.yaml, applications.{self._application.name}.prepare.from_corpus", found="true",
                expected="false: this application finds no examples in documents",
                fix="name records for it under collect.sources",
            )  # fmt: skip
        if self._application.catalogue:
            self._catalogue.update(self._application.catalogue(materials, self._options))
        for material, made in make(materials, self._options):
            identity = _identity(self._application.name, material.identity, made.part)
            if isinstance(made, Draft):
                split = material.split or self._divide(material.identity)
                self._placed.append(_Placed(identity, split, material, made))
            else:
                self._refused.append((identity, material.source, made.reason, made.detail))

    def examples(self) -> pa.Table:
        """The examples that are taken; call it once, after all materials."""
        taken = [placed for split in SPLITS for placed in self._limited(split)]
        rows = [self._row(placed) for placed in taken]
        columns = list(zip(*rows, strict=True)) or [()] * len(EXAMPLES)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, EXAMPLES, strict=True)]
        return pa.Table.from_arrays(arrays, schema=EXAMPLES)

    def rejected(self) -> pa.Table:
        """What became no example, with the reason."""
        columns = list(zip(*self._refused, strict=True)) or [()] * len(REJECTED)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, REJECTED, strict=True)]
        return pa.Table.from_arrays(arrays, schema=REJECTED)

    def asked(self, examples: pa.Table) -> Asked:
        """What serving needs to know: choices are the configured labels, the catalogue, or what was found to learn."""
        choices: list[str] = list(self._config.labels) or sorted(self._catalogue)
        if not choices and self._application.decoding != "write" and self._application.choices is None:
            learned = zip(examples.column("split").to_pylist(), examples.column("answer").to_pylist(), strict=True)
            choices = sorted({answer for split, answer in learned if split == SPLITS[0] and answer is not None})
        example = self._application.example.model_dump(mode="json")
        name, decoding = self._application.name, self._application.decoding
        return Asked(application=name, decoding=decoding, choices=choices, example=example)

    def report(self, examples: pa.Table) -> Report:
        """Examples of each split, and the books."""
        counts = Counter(examples.column("split").to_pylist())
        dropped = Counter(reason for _, _, reason, _ in self._refused)
        books = Books(examples.num_rows + len(self._refused), examples.num_rows, dict(sorted(dropped.items())))
        return Report({f"{split}_examples": counts[split] for split in SPLITS}, books)

    def _limited(self, split: str) -> Iterator[_Placed]:
        """The examples of a split with the lowest identities; the others are counted."""
        is_train = split == SPLITS[0]
        most = self._config.max_train_examples if is_train else self._config.max_held_out_examples
        placed = sorted((p for p in self._placed if p.split == split), key=lambda p: p.identity)
        yield from placed[:most]
        detail = f"more than {most} examples of the split {split}"
        self._refused += [(p.identity, p.material.source, OVER_LIMIT, detail) for p in placed[most:]]

    def _row(self, placed: _Placed) -> tuple[Any, ...]:
        material, draft = placed.material, placed.draft
        right = [self._name(text) for text in (draft.answer, *draft.references) if text is not None]
        answer = None if draft.answer is None else right[0]
        return (
            placed.identity, placed.split, material.identity, draft.request.model_dump_json(),
            self._application.ask(draft.request), answer,
            list(dict.fromkeys(right)), list(draft.choices), material.source, material.licence, material.language,
            self._expectations(draft.request, answer),
        )  # fmt: skip

    def _expectations(self, request: Body, answer: str | None) -> list[tuple[str, bool]]:
        """What the application expects, and whether it holds; a label that is missing is told as that alone."""
        expects = self._application.expects.items()
        return [(sentence, answer is None or holds(request, answer)) for sentence, holds in expects]

    def _name(self, label: str) -> str:
        return self._config.label_names.get(label, label)

    def _divide(self, group: str) -> str:
        """The split of a group whose source names none: a uniform hash of its identity and the seed."""
        digest = hashlib.sha256(f"{self._config.seed}\0{group}".encode()).digest()
        place, share = int.from_bytes(digest[:8], "big") / _HASH_RANGE, self._config.held_out_share
        return SPLITS[2] if place < share else SPLITS[1] if place < 2 * share else SPLITS[0]


def _identity(application: str, material: str, part: str) -> str:
    return hashlib.sha256(f"{application}\0{material}\0{part}".encode()).hexdigest()[:32]
