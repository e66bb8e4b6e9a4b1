"""The passes over the documents: clean, find copies, drop them, divide, weigh, write.

In: document shards. Out: the corpus and its rejects. In between: a pass is a function of ``pieces`` or ``copies`` done
for every row group or partition by whoever is there; results wait in a scratch folder, and this process holds a few
numbers for each row group and 65,536 for each source, never a table of the documents.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import polars as pl

from components.core.documents import count_documents, list_row_groups
from components.core.files import write_whole
from components.core.parallel import Workers
from components.core.stage import Books, Report
from components.preprocess.contamination import join_grams, mask_for
from components.preprocess.copies import Search, count_partitions, find_pairs, partitions, settle
from components.preprocess.page import PAGE, Dropped, render
from components.preprocess.pieces import (
    CleanedGroup,
    FinishedGroup,
    HeldOut,
    Plan,
    RejectsPiece,
    ShardPiece,
    Weights,
    clean_group,
    finish_group,
    survey_group,
    weigh_group,
    write_file,
)
from components.preprocess.quarantine import read_reasons, refuse_unknown
from components.preprocess.shares import NUM_PLACES, Bytes, limits
from components.preprocess.split import SPLITS


@dataclass(frozen=True)
class Passes:
    """The passes of one run, in their order; each returns what the next needs."""

    plan: Plan
    workers: Workers

    def write_corpus(self, documents: Path, output: Path) -> Report:
        """Write kept documents with their split, dropped ones with their reason; returns the books.

        Raises InputError when the checks are those of other documents.
        """
        cleaned = self._clean(documents)
        copies = self._find_copies(cleaned)
        numbers = range(len(copies))
        surveyed = list(self.workers.map(survey_group, self.plan, list(enumerate(copies)), "dividing"))
        weighed = self.workers.map(weigh_group, (self.plan, self._held_out(surveyed)), numbers, "weighing")
        cuts = limits(_add(weighed), self.plan.config.max_source_bytes, self.plan.config.mixture)
        finished = list(self.workers.map(finish_group, (self.plan, cuts), numbers, "cutting"))
        shards = _shards([group.num_documents for group in finished], self.plan.config.shard_documents, output)
        # First what takes longest, so that no worker waits for it.
        files: list[RejectsPiece | ShardPiece] = [RejectsPiece(output), *shards]
        dropped, *_ = self.workers.map(write_file, self.plan, files, "writing")
        mended = sum((Counter(group.mended) for group in cleaned), Counter())
        return self._report(documents, output, finished, mended, dropped)

    def _clean(self, documents: Path) -> list[CleanedGroup]:
        groups = list(enumerate(list_row_groups(documents) or [None]))
        cleaned = list(self.workers.map(clean_group, self.plan, groups, "cleaning"))
        seen = pl.Series([name for group in cleaned for name in group.quarantined], dtype=pl.String)
        refuse_unknown(read_reasons(self.plan.checks), seen, self.plan.checks)
        return cleaned

    def _find_copies(self, cleaned: list[CleanedGroup]) -> list[Path]:
        config, num = self.plan.config, sum(group.num_kept for group in cleaned)
        leaves = tuple(group.leaf for group in cleaned)
        search = Search(leaves, config.near_duplicate_similarity, count_partitions(num), self.plan.scratch)
        pieces = partitions(num, config.near_duplicate_bands)
        pairs = list(self.workers.map(find_pairs, search, pieces, "finding copies"))
        return next(iter(self.workers.map(settle, search, [pairs], "settling copies")))

    def _held_out(self, num_grams: list[int]) -> HeldOut:
        path, mask = self.plan.scratch / "held-out.npy", mask_for(sum(num_grams))
        if self.plan.config.max_held_out_share < 1:
            parts = [self.plan.place("grams", number).with_suffix(".npy") for number in range(len(num_grams))]
            np.save(path, join_grams(parts, mask), allow_pickle=False)
        return HeldOut(path, int(mask))

    def _report(
        self, documents: Path, output: Path, finished: list[FinishedGroup], mended: Mapping[str, int], dropped: Dropped
    ) -> Report:
        of_split = sum((Counter(group.of_split) for group in finished), Counter[str]())
        of_source = sum((Counter(group.of_source) for group in finished), Counter[str]())
        books = Books(count_documents(documents), sum(group.num_documents for group in finished), dropped.by_rule)
        documents_of = {f"{name}_documents": of_split[name] for name in SPLITS}
        text_bytes = sum(group.num_bytes for group in finished)
        report = Report({**documents_of, "text_bytes": text_bytes, **mended}, books)
        write_whole(output / PAGE, render(report, books, of_source, dropped))
        return report


def _add(parts: Iterator[dict[str, Weights]]) -> dict[str, Bytes]:
    total = defaultdict[str, Bytes](lambda: np.zeros(NUM_PLACES, np.int64))
    for part in parts:
        for name, weights in part.items():
            np.add.at(total[name], weights.places, weights.num_bytes)
    return total


def _shards(num_rows: list[int], shard_documents: int, output: Path) -> Iterator[ShardPiece]:
    """Which rows of which row group each file of the corpus takes; there is always at least one file."""
    starts = list(accumulate(num_rows, initial=0))
    for number, first in enumerate(range(0, max(1, starts[-1]), shard_documents)):
        last = min(first + shard_documents, starts[-1])
        slices = [
            (group, max(first - start, 0), min(last, start + num) - max(first, start))
            for group, (start, num) in enumerate(zip(starts, num_rows, strict=False))
            if start < last and start + num > first
        ]
        yield ShardPiece(number, tuple(slices), output)
