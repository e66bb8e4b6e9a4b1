"""The page of a version: what it is, how it scores, what it was made from, under which licences.

In: the facts of a version. Out: one HTML file. In between: the same facts as the documents beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from components.core.pages import Figure, details, figures, mark, number, page, paragraph, section, table, verdict
from components.core.plots import Interval, interval_chart
from components.provenance.corpus import total
from components.provenance.facts import Facts
from components.provenance.licences import ASKS, kind_of, roll_up


def render(facts: Facts) -> bytes:
    """The page as bytes."""
    return page(
        f"{facts.name}: where it comes from",
        _verdict(facts),
        _figures(facts),
        section("Scores on held-out documents", _scores(facts)),
        *([section("Models made from it", _finetuned(facts))] if facts.finetuned else []),
        *([section("Applications, on examples held out", *_applications(facts))] if facts.assessments else []),
        section("What it was trained on", _sources(facts), _objects(facts)),
        section("Licences", *_licences(facts)),
        section("What was dropped and why", _books(facts)),
        section("Checks on the data", _checks(facts)),
        section("The chain, from the raw bytes on", _chain(facts), details("Values of every stage", _values(facts))),
        lead=f"Version {facts.digest[:16]}. Made from its record alone; pedigree verify checks every byte of it.",
    )


def _verdict(facts: Facts) -> object:
    findings = facts.incompatibilities
    if not findings:
        return verdict(True, "Every source has a licence that is known, and no two of them exclude each other.")
    return verdict(False, f"{len(findings)} findings about licences: read them before you publish.")


def _figures(facts: Facts) -> object:
    strictest = roll_up(facts.licences)
    items = [
        Figure("documents", facts.num_documents, "in the training split"),
        Figure("sources", len(total(facts.corpus, "source")), f"{len(facts.objects)} raw objects"),
        Figure("parameters", facts.training.get("num_parameters", "unknown")),
        Figure("tokens read", facts.training.get("num_tokens", "unknown")),
        Figure("licences ask", strictest, ASKS[strictest]),
    ]
    if interval := facts.interval("bits_per_byte"):
        note = f"{number(interval[0])} to {number(interval[1])}"
        items.insert(0, Figure("bits per byte", float(facts.scores["bits_per_byte"]), note))
    return figures(*items)


def _finetuned(facts: Facts) -> object:
    rows = [(name, record.params["method"], ", ".join(record.params["applications"]))
            for name, record in facts.finetuned]  # fmt: skip
    return table("What each learned to answer", ("model", "method", "applications"), rows)


def _applications(facts: Facts) -> Iterator[object]:
    """Each figure that a floor was measured by as a picture, then all that have an interval as a table."""
    rows = [(name, key.replace("_", " "), report[key], report[f"{key}_low"], report[f"{key}_high"],
             report.get(f"{key}_floor"))
            for name, report in facts.assessments for key in report if f"{key}_low" in report]  # fmt: skip
    for name, figure, *ours, floor in rows:
        if floor is not None:
            intervals = [Interval("this model", *ours), Interval("best floor", floor)]
            yield interval_chart(f"{name}: {figure}", intervals, unit=figure)
    yield table("Each with its bootstrap interval; a floor is the best of the plain methods on the same examples",
                ("application", "figure", "value", "from", "to", "floor"), rows)  # fmt: skip


def _scores(facts: Facts) -> object:
    spans = ((key, value, facts.interval(key)) for key, value in facts.headline_scores)
    rows = [(key.replace("_", " "), value, *(span or (None, None))) for key, value, span in spans]
    return table("Each with its bootstrap interval over documents, where it has one", ("figure", "value", "from", "to"),
                 rows)  # fmt: skip


def _sources(facts: Facts) -> object:
    rows = [(r["source"], r["split"], r["language"], r["licence"], r["documents"], r["bytes"])
            for r in facts.corpus["rows"]]  # fmt: skip
    return table("Documents by source, split, language and licence",
                 ("source", "split", "language", "licence", "documents", "bytes"), rows)  # fmt: skip


def _objects(facts: Facts) -> object:
    rows = [(o["name"], o.get("path") or o.get("url") or o.get("version"), o.get("bytes"), o["licence"],
             o["sha256"][:16]) for o in facts.objects]  # fmt: skip
    return table("Raw objects as they were pinned", ("source", "place or version", "bytes", "licence", "SHA-256"), rows)


def _licences(facts: Facts) -> Iterator[object]:
    counts = total(facts.corpus, "licence")
    rows = [(name, kind_of(name), count, ASKS[kind_of(name)]) for name, count in counts.items()]
    yield table("Licences of all documents", ("licence", "kind", "documents", "asks"), rows)
    if findings := facts.incompatibilities:
        clashes = [(" and ".join(finding.licences), finding.reason) for finding in findings]
        yield table("What does not go together, or is not known", ("licences", "why"), clashes)
    else:
        yield paragraph("No two of these licences exclude each other, by the table that Pedigree has.")


def _books(facts: Facts) -> object:
    rows = [(stage, report["received"], report["kept"],
             _dropped(report["dropped"]))
            for stage, report in facts.books]  # fmt: skip
    return table("The books of every stage that keeps them", ("stage", "received", "kept", "dropped"), rows)


def _dropped(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason}: {number(count)}" for reason, count in reasons.items() if count) or "nothing"


def _checks(facts: Facts) -> object:
    rows = [(stage, found["title"], found["limit"], found["observed"], mark(found["state"]))
            for stage, found in facts.checks]  # fmt: skip
    return table("Expectations, in the order in which they were looked at",
                 ("stage", "expectation", "limit", "found", "state"), rows)  # fmt: skip


def _chain(facts: Facts) -> object:
    rows = [
        (
            record.stage,
            digest[:16],
            record.execution[:16],
            record.fingerprint[:16],
            len(record.files),
            sum(entry.bytes for entry in record.files.values()),
        )
        for digest, record in facts.chain.records.items()
    ]
    return table("Every stage behind this version, with the digests that hold the chain together",
                 ("stage", "record", "execution", "code", "files", "bytes"), rows)  # fmt: skip


def _values(facts: Facts) -> object:
    rows = [(f"{stage}.{key}", json.dumps(value, ensure_ascii=False))
            for stage, params in facts.chain.params.items() for key, value in sorted(params.items())]  # fmt: skip
    return table("Params", ("value", ""), rows)
