"""The stages ``validate@documents``, ``@corpus``, ``@tokens`` and ``check@APPLICATION``: measure, judge, tell.

In: the folder that another stage made. Out: ``result.json`` (every expectation, its limit and what was observed),
``quarantine.parquet`` (doc_id, reason), ``page.html`` and ``profile.json`` (what drift is told from). In
between: texts are read once and only numbers about them go on, so neither a result nor a page can show a text. All
files are written before a failed gate is raised.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.core.stage import Report
from components.validate.config import CorpusConfig, DocumentsConfig, DriftConfig, ExamplesConfig, TokensConfig

if TYPE_CHECKING:
    import polars as pl

    from components.core.pages import Html
    from components.validate.drift import Profile
    from components.validate.suites import Suite
    from components.validate.verdict import Finding


def validate_documents(config: DocumentsConfig, *, subject: Path, output: Path) -> Report:
    """Check the documents of ``ingest``. Raises GateError naming expectation, observed value and limit."""
    from components.core.documents import DOCUMENTS
    from components.validate import features, suites

    measured = features.measure(subject, DOCUMENTS)
    return _judge_texts("documents", config, suites.documents(config), measured, subject, output)


def validate_corpus(config: CorpusConfig, *, subject: Path, output: Path) -> Report:
    """Check the corpus of ``preprocess``. Raises GateError naming expectation, observed value and limit."""
    from components.core.documents import CORPUS
    from components.validate import features, suites

    measured = features.measure(subject, CORPUS)
    return _judge_texts("corpus", config, suites.corpus(config), measured, subject, output)


def validate_tokens(config: TokensConfig, *, subject: Path, output: Path) -> Report:
    """Check the token streams of ``pack``. Raises GateError naming expectation, observed value and limit."""
    from components.validate import drift, page, streams, suites
    from components.validate.judge import judge

    measured = streams.measure(subject)
    findings = [
        *judge(measured.splits, "split", suites.token_splits(config)),
        *judge(measured.documents, "doc_id", suites.token_documents()),
    ]
    profile = drift.describe_tokens(measured.documents, measured.counts)
    section = page.splits_section(measured.splits, measured.documents)
    return _tell("tokens", config, measured.documents.height, findings, profile, section, output)


def check_examples(config: ExamplesConfig, *, subject: Path, output: Path, key: str) -> Report:
    """Check the examples of application ``key``. Raises GateError naming expectation, observed value and limit."""
    from components.core.examples import read_asked, read_examples
    from components.validate import annotations, page, suites
    from components.validate.judge import judge
    from components.validate.verdict import Verdict, judge_quarantine

    asked = read_asked(subject)
    measured = annotations.measure(read_examples(subject), asked)
    findings = judge(measured, "example_id", suites.examples(config, asked, annotations.own(measured)))
    findings.append(judge_quarantine(findings, measured.height, config.max_quarantined_share, "examples"))
    stage, section = f"check@{key}", f"applications.{key}.check"
    verdict = Verdict(f"examples of {key}", measured.height, tuple(findings), stage, section, "examples")
    return verdict.write(output, page.draw(verdict, page.examples_section(measured)))


def _judge_texts(
    name: str, config: DocumentsConfig, suite: Suite, measured: pl.DataFrame, subject: Path, output: Path
) -> Report:
    from components.validate import drift, page
    from components.validate.judge import judge
    from components.validate.verdict import judge_quarantine

    profile, section = drift.describe(measured, subject), page.texts_section(measured)
    findings = judge(measured, "doc_id", suite)
    findings.append(judge_quarantine(findings, measured.height, config.max_quarantined_share))
    return _tell(name, config, measured.height, findings, profile, section, output)


def _tell(
    name: str,
    config: DriftConfig,
    received: int,
    findings: list[Finding],
    profile: Profile,
    section: Html,
    output: Path,
) -> Report:
    """Compare with the reference, if there is one, and write everything down."""
    from components.core.files import write_json
    from components.validate import drift, page, suites
    from components.validate.judge import judge
    from components.validate.verdict import Verdict

    write_json(output / drift.FILE, profile.model_dump(mode="json"))
    sections = [section]
    if config.reference:
        moved = drift.distances(profile, drift.read_reference(config.reference))
        findings = [*findings, *judge(moved, "source", suites.drift(config))]
        sections.append(page.drift_section(moved))
    verdict = Verdict(name, received, tuple(findings), f"validate@{name}", f"validate.{name}")
    return verdict.write(output, page.draw(verdict, *sections))
