"""The model card and the data sheet of a version, as Markdown.

In: the facts of a version. Out: two texts for people. In between: what the record does not hold is said to be
unknown, and never made up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from components.core.pages import number
from components.provenance.corpus import total
from components.provenance.facts import Facts
from components.provenance.licences import ASKS, kind_of, roll_up


def model_card(facts: Facts) -> str:
    """What the model is, what it is for, how it scores and on what, and how to check all that."""
    parts = (
        _details(facts), _uses(facts), _scores(facts), _applications(facts), _training(facts), _values(facts),
        _checking(facts),
    )  # fmt: skip
    return "\n".join(line for part in parts for line in part) + "\n"


def datasheet(facts: Facts) -> str:
    """What the corpus holds, where it came from, what was done to it, under which licences, and how it changes."""
    parts = (_composition(facts), _collection(facts), _processing(facts), _licences(facts), _maintenance())
    return "\n".join(line for part in parts for line in part) + "\n"


def _details(facts: Facts) -> Iterator[str]:
    yield f"# Model card: {facts.name}\n"
    yield "A decoder-only Transformer language model, trained from its first weights and scored by Pedigree.\n"
    yield f"- Version: `{facts.digest}`"
    yield f"- Parameters: {number(facts.training.get('num_parameters', 'unknown'))}"
    yield f"- Made by: stage `train`, execution `{facts.model.execution}`"
    for digest, record in facts.chain.parents(facts.ends["model"]):
        yield f"- Parent model: `{digest}` (execution `{record.execution[:16]}`)"


def _uses(facts: Facts) -> Iterator[str]:
    yield "\n## Intended use\n"
    yield "It continues texts of the kind that it was trained on (see the data sheet), for research and for software"
    yield "that checks what it gets. It states no facts reliably, knows no language that its sources are not in, and"
    yield "was not made to decide about people."
    yield f"\nIts texts come under these licences: {', '.join(facts.licences)}."
    yield f"Taken together they ask: {ASKS[roll_up(facts.licences)]}."


def _scores(facts: Facts) -> Iterator[str]:
    yield "\n## Scores on held-out documents\n"
    rows = [(key.replace("_", " "), f"{value:,.6g}", _span(facts.interval(key)))
            for key, value in facts.headline_scores]  # fmt: skip
    yield from _table(("figure", "value", "interval"), rows)
    yield "\nIntervals are bootstrap intervals over documents, at the level among the values below."


def _applications(facts: Facts) -> Iterator[str]:
    if not facts.finetuned:
        return
    yield "\n## Models made from it\n"
    rows = [(name, str(record.params["method"]), ", ".join(record.params["applications"]), f"`{record.execution}`")
            for name, record in facts.finetuned]  # fmt: skip
    yield from _table(("model", "method", "learned to", "execution"), rows)
    scores = [(name, key.replace("_", " "), f"{value:,.6g}") for name, report in facts.assessments
              for key, value in sorted(report.items()) if isinstance(value, int | float)]  # fmt: skip
    if scores:
        yield "\nTheir scores on held-out examples, by application:\n"
        yield from _table(("application", "figure", "value"), scores)


def _training(facts: Facts) -> Iterator[str]:
    yield "\n## What it was trained on\n"
    yield f"{number(facts.num_documents)} documents in the training split, "
    yield f"{number(facts.training.get('num_tokens', 'unknown'))} tokens read in"
    yield f"{number(facts.training.get('num_epochs', 'unknown'))} epochs. The data sheet tells the rest."


def _values(facts: Facts) -> Iterator[str]:
    yield "\n## Values it was made with\n"
    rows = [(f"`{stage}.{key}`", f"`{json.dumps(value, ensure_ascii=False)[:160]}`")
            for stage, params in facts.chain.params.items() for key, value in sorted(params.items())]  # fmt: skip
    yield from _table(("value", ""), rows)


def _checking(facts: Facts) -> Iterator[str]:
    yield "\n## How to check this\n"
    yield f"- `pedigree verify {facts.digest[:12]}`: every byte, back to the raw texts, against the signed statement"
    yield f"- `pedigree rebuild {facts.digest[:12]}`: makes it again and compares, stage by stage"
    yield f"- `pedigree trace {facts.digest[:12]}`: its documents, sources, licences, checks and parents"


def _composition(facts: Facts) -> Iterator[str]:
    yield f"# Data sheet: the corpus of {facts.name}\n"
    yield f"Version `{facts.digest}`.\n\n## Composition\n"
    rows = [(r["source"], r["split"], r["language"], r["licence"], number(r["documents"]), number(r["bytes"]))
            for r in facts.corpus["rows"]]  # fmt: skip
    yield from _table(("source", "split", "language", "licence", "documents", "bytes"), rows)
    yield "\nEach document is a text with its identity, source, place in it, licence and split. What people, groups or"
    yield "topics the texts speak of was not measured."


def _collection(facts: Facts) -> Iterator[str]:
    yield "\n## Collection\n\nEvery raw object as it was pinned; what is not these bytes is refused.\n"
    rows = [(str(o["name"]), str(o.get("path") or o.get("url") or o.get("version") or ""), number(o.get("bytes", "")),
             str(o["licence"]), f"`{o['sha256'][:16]}`") for o in facts.objects]  # fmt: skip
    yield from _table(("source", "place or version", "bytes", "licence", "SHA-256"), rows)


def _processing(facts: Facts) -> Iterator[str]:
    yield "\n## Preprocessing: what was dropped and why\n"
    rows = [(stage, number(report["received"]), number(report["kept"]), _dropped(report["dropped"]))
            for stage, report in facts.books]  # fmt: skip
    yield from _table(("stage", "received", "kept", "dropped"), rows)
    yield "\n## Checks\n"
    checks = [(stage, found["title"], found["limit"], number(found["observed"]), found["state"])
              for stage, found in facts.checks]  # fmt: skip
    yield from _table(("stage", "expectation", "limit", "found", ""), checks)


def _licences(facts: Facts) -> Iterator[str]:
    yield "\n## Licences\n"
    counts, sizes = total(facts.corpus, "licence"), total(facts.corpus, "licence", "bytes")
    rows = [(name, kind_of(name), number(counts[name]), number(sizes[name]), ASKS[kind_of(name)]) for name in counts]
    yield from _table(("licence", "kind", "documents", "bytes", "asks"), rows)
    strictest = roll_up(facts.licences)
    yield f"\nRolled up, the training split is **{strictest}**: {ASKS[strictest]}."
    findings = facts.incompatibilities
    if not findings:
        yield "\nNo two of these licences exclude each other, by the table that Pedigree has."
    for finding in findings:
        yield f"\n- **{' and '.join(finding.licences)}**: {finding.reason}"


def _maintenance() -> Iterator[str]:
    yield "\n## Maintenance\n"
    yield "`pedigree impact` tells which versions were trained on a document, text, source or licence, and"
    yield "`pedigree withdraw` keeps it out of the next corpus."


def _dropped(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason}: {number(count)}" for reason, count in reasons.items() if count) or "nothing"


def _span(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:,.6g} to {interval[1]:,.6g}" if interval else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |"
