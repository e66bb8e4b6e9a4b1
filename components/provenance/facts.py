"""What the record of a version holds, gathered once for the documents that tell it.

In: the folder ``provenance`` of a version, its chain. Out: plain values. In between: nothing is measured here, and
nothing is told that the record does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from components.core.files import digest_of, read_json
from components.core.records import FileEntry, Record
from components.provenance import evidence
from components.provenance.chain import Chain
from components.provenance.corpus import CORPUS, CORPUS_STAGE, total
from components.provenance.licences import Finding, incompatibilities


@dataclass(frozen=True)
class Facts:
    """One version, as its record tells it; ``ends`` maps its parts to the digests of their records."""

    folder: Path
    name: str
    chain: Chain
    ends: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The digest of the version."""
        return digest_of(self.ends)

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The report of the evaluation."""
        return dict(evidence.read_reports(self.folder, self.ends["evaluation"]).get("report", {}))

    @cached_property
    def training(self) -> dict[str, Any]:
        """The report of the training."""
        return dict(evidence.read_reports(self.folder, self.ends["model"]).get("report", {}))

    @property
    def model(self) -> Record:
        """The record of the model."""
        return self.chain.records[self.ends["model"]]

    @property
    def finetuned(self) -> list[tuple[str, Record]]:
        """Name and record of each model that was made from it."""
        return self._parts("finetuned/")

    @cached_property
    def assessments(self) -> list[tuple[str, dict[str, Any]]]:
        """Each application that those were scored in, with its report."""
        return [(name, dict(evidence.read_reports(self.folder, self.ends[f"assessments/{name}"]).get("report", {})))
                for name, _ in self._parts("assessments/")]  # fmt: skip

    def _parts(self, kind: str) -> list[tuple[str, Record]]:
        return [(part.removeprefix(kind), self.chain.records[digest]) for part, digest in sorted(self.ends.items())
                if part.startswith(kind)]  # fmt: skip

    @cached_property
    def corpus(self) -> dict[str, Any]:
        """What the corpus is made of, by source, licence, language and split."""
        return dict(read_json(self.folder / CORPUS))

    @property
    def corpora(self) -> list[tuple[str, dict[str, FileEntry]]]:
        """Digest and files of each corpus, the one of the last training last."""
        return [(digest, record.files) for digest, record in self.chain.of_stage(CORPUS_STAGE)]

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """The raw objects with their sizes, addresses, licences and digests."""
        return list(evidence.raw_objects(self.folder))

    @cached_property
    def licences(self) -> list[str]:
        """The licences of the texts and records that it and what was made from it were trained on, in order."""
        rows = (row for row in self.corpus["rows"] if row["split"] not in ("validation", "test"))
        applications = {name for _, record in self.finetuned for name in record.params["applications"]}
        collected = (source for _, record in self.chain.of_stage("collect") for source in record.params["sources"])
        records = (source for source in collected if source["application"] in applications)
        return sorted({found["licence"] for found in (*rows, *records)})

    @property
    def incompatibilities(self) -> list[Finding]:
        """What of those licences does not go together."""
        return incompatibilities(self.licences)

    @property
    def num_documents(self) -> int:
        """Documents of the training split."""
        return total(self.corpus, "split").get("train", 0)

    @cached_property
    def books(self) -> list[tuple[str, dict[str, Any]]]:
        """Received, kept and dropped of each stage that kept books, in the order of the chain."""
        told = ((record.stage, evidence.read_reports(self.folder, digest).get("report", {}))
                for digest, record in self.chain.records.items())  # fmt: skip
        return [(stage, report) for stage, report in told if "received" in report]

    @cached_property
    def checks(self) -> list[tuple[str, dict[str, Any]]]:
        """Each expectation that the data had to meet, with the stage that looked."""
        told = ((record.stage, evidence.read_reports(self.folder, digest).get("result", {}))
                for digest, record in self.chain.records.items())  # fmt: skip
        return [(stage, found) for stage, result in told for found in result.get("expectations", [])]

    @cached_property
    def requirements(self) -> dict[str, str]:
        """Every library of the lock with its version."""
        path = self.folder / "requirements.lock"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return dict(re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", text, flags=re.MULTILINE))

    def interval(self, key: str) -> tuple[float, float] | None:
        """The interval of a score, where the evaluation gave one."""
        low, high = self.scores.get(f"{key}_low"), self.scores.get(f"{key}_high")
        return (float(low), float(high)) if low is not None and high is not None else None

    @property
    def headline_scores(self) -> list[tuple[str, float]]:
        """The scores that are no bound of an interval, in order of their names."""
        numbers = {key: value for key, value in self.scores.items() if isinstance(value, int | float)}
        return [(key, float(value)) for key, value in sorted(numbers.items())
                if not key.endswith(("_low", "_high")) and key not in ("received", "kept")]  # fmt: skip
