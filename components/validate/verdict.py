"""What the checks found, written down; and the gate that it opens or closes.

In: findings. Out: ``result.json``, ``quarantine.parquet``, the page, and a Report or a GateError. In between: a
document is set aside once, under the first reason in the order of the suite; its row in the quarantine names it and
every reason, and holds no text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import GateError
from components.core.files import write_json, write_whole
from components.core.pages import number, percent
from components.core.quarantine import FILE
from components.core.stage import Books, Report

_QUARANTINE = pa.schema([("doc_id", pa.string()), ("reason", pa.string())])
_ROW_GROUP_ROWS = 100_000
_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One expectation and what came of it.

    Attributes:
        column: what it looked at, or None for the whole table.
        severity: ``warning`` when failing rows are set aside, ``critical`` when they stop the chain, ``info`` when
            they are only told.
        observed: failing rows for an expectation about rows, else the value itself; None when there was none.
        num_rows: rows looked at, or None for an expectation about the whole.
        failing: names of the failing rows.
        is_share: whether ``observed`` is a part of one.
        fault: why the check could not be evaluated, or empty.
    """

    name: str
    title: str
    column: str | None
    severity: str
    limit: str
    settings: tuple[str, ...]
    is_met: bool
    observed: float | None
    is_share: bool = False
    num_rows: int | None = None
    failing: tuple[str, ...] = ()
    fault: str = ""

    @property
    def sets_aside(self) -> bool:
        """Whether its failing rows are set aside instead of stopping the chain, as long as they are few."""
        return self.severity == "warning"

    @property
    def is_fatal(self) -> bool:
        """Whether the chain stops when it is not met; what could not be evaluated always stops it."""
        return self.severity != "info" or bool(self.fault)

    @property
    def state(self) -> str:
        """``passed``, ``quarantined``, ``warned`` or ``failed``."""
        if not self.is_met:
            return "failed" if self.is_fatal else "warned"
        return "quarantined" if self.failing else "passed"

    @property
    def told(self) -> str:
        """What was observed, for people."""
        if self.fault:
            return f"the check could not be evaluated: {self.fault}"
        if self.observed is None:
            return "nothing"
        if self.num_rows is None:
            return percent(self.observed) if self.is_share else number(self.observed)
        share = f" ({percent(len(self.failing) / self.num_rows)})" if self.failing else ""
        return f"{number(len(self.failing))} of {number(self.num_rows)} rows outside{share}"

    def as_json(self) -> dict[str, Any]:
        """The finding as it stands in ``result.json``."""
        return {
            "name": self.name, "title": self.title, "column": self.column, "severity": self.severity,
            "limit": self.limit, "observed": self.observed, "success": self.is_met, "state": self.state,
            "unexpected_count": len(self.failing), "examples": list(self.failing[:_EXAMPLES]), "fault": self.fault,
        }  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """All findings about one subject.

    Attributes:
        subject: what was checked, such as ``corpus``.
        received: how many there were of what can be set aside.
        unit: what these are called.
        stage, section: who checked, and where its limits stand in params.yaml.
    """

    subject: str
    received: int
    findings: tuple[Finding, ...]
    stage: str
    section: str
    unit: str = "documents"

    @property
    def failed(self) -> list[Finding]:
        """The findings that close the gate, in the order of the suite."""
        return [finding for finding in self.findings if finding.state == "failed"]

    @property
    def warned(self) -> list[Finding]:
        """The findings that are not met and leave the gate open."""
        return [finding for finding in self.findings if finding.state == "warned"]

    @property
    def quarantine(self) -> list[tuple[str, str]]:
        """(doc_id, reason) of every document that is set aside, once for each reason, in byte order."""
        pairs = {(name, finding.name) for finding in self.findings if finding.sets_aside for name in finding.failing}
        return sorted(pairs)

    @property
    def books(self) -> Books:
        """Each document that is set aside counts once, under its first reason."""
        dropped = Counter(_first_reasons(self.findings).values())
        return Books(self.received, self.received - dropped.total(), dict(sorted(dropped.items())))

    def write(self, output: Path, page: bytes) -> Report:
        """Write result, quarantine and page; then report, or raise GateError when an expectation is not met."""
        write_json(output / "result.json", self.as_json())
        write_quarantine(output / FILE, self.quarantine)
        write_whole(output / "page.html", page)
        if self.failed:
            raise self._refusal()
        metrics = {
            "expectations": len(self.findings),
            "warnings": len(self.warned),
            "quarantined_share": (self.received - self.books.kept) / self.received,
        }
        return Report(metrics, self.books)

    def as_json(self) -> dict[str, Any]:
        """The verdict as it stands in ``result.json``."""
        return {
            "subject": self.subject, "success": not self.failed, "received": self.received,
            "quarantined": self.received - self.books.kept,
            "expectations": [finding.as_json() for finding in self.findings],
        }  # fmt: skip

    def _refusal(self) -> GateError:
        first, *others = self.failed
        more = f"; not met either: {', '.join(finding.name for finding in others)}" if others else ""
        keys = " or ".join(f"{self.section}.{key}" for key in first.settings)
        return GateError(
            f"stage {self.stage}, expectation {first.name}: {first.title}",
            found=first.told + more,
            expected=first.limit,
            fix=f"mend the data, or change {keys} in params.yaml" if keys else "mend the stage that made the data",
        )


def judge_quarantine(findings: Sequence[Finding], received: int, max_share: float, unit: str = "documents") -> Finding:
    """The last finding: all that is set aside, for whatever reason, must stay within ``max_share``."""
    share = len(_first_reasons(findings)) / max(1, received)
    return Finding(
        name="quarantine_small", title=f"Few {unit} are set aside in all", column=None, severity="critical",
        limit=f"at most {percent(max_share)} of the {unit}", settings=("max_quarantined_share",),
        is_met=share <= max_share, observed=share, is_share=True,
    )  # fmt: skip


def write_quarantine(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write (doc_id, reason) rows as Parquet; no rows give a table without rows."""
    columns = [[row[i] for row in rows] for i in range(len(_QUARANTINE))]
    table = pa.table(columns, schema=_QUARANTINE)
    pq.write_table(table, path, compression="zstd", row_group_size=_ROW_GROUP_ROWS)


def _first_reasons(findings: Sequence[Finding]) -> dict[str, str]:
    """The first reason of each document that is set aside."""
    first: dict[str, str] = {}
    for finding in findings:
        for name in finding.failing if finding.sets_aside else ():
            first.setdefault(name, finding.name)
    return first
