"""`pedigree trace` and `pedigree card`: where a version comes from, as its signed record tells it.

In: a version. Out: lines, or the model card with the place of its page. In between: the version is verified first;
what is printed is what the record holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.core.errors import InputError
from components.core.pages import number
from components.core.tokens import PACKED_DOCUMENTS
from components.provenance.chain import TRAINING
from components.provenance.documents import BOM, CROISSANT, DATASHEET, MODEL_CARD, PAGE
from components.provenance.exposure import BYPRODUCT, INDEX, Exposure
from components.provenance.facts import Facts
from components.provenance.licences import ASKS, roll_up
from components.provenance.verify import Verified
from flows.archive import Archive
from flows.verify import open_version, told_of_signature


def trace(which: str, *, documents: bool) -> int:
    """Print where a version comes from, or every document of its training split; returns 0. Raises PedigreeError."""
    verified = open_version(which)
    if documents:
        for line in _documents(verified):
            print(line)
        return 0
    facts = _facts(verified)
    print(f"{verified.name}, version {verified.digest}", *told_of_signature(verified), sep="\n")
    for title, lines in (("sources", _sources(facts)), ("licences", _licences(facts)), ("dropped", _dropped(facts)),
                         ("checks", _checks(facts)), ("parents", _parents(facts)), ("stages", _stages(facts)),
                         ("machine", _machine(verified))):  # fmt: skip
        print(*_block(title, lines), sep="\n")
    print(f"`pedigree trace {which} --documents` lists the {number(facts.num_documents)} documents one by one.")
    return 0


def card(which: str) -> int:
    """Print the model card of a version and where its other documents are; returns 0. Raises PedigreeError."""
    verified = open_version(which)
    print((verified.provenance / MODEL_CARD).read_text(encoding="utf-8"))
    for title, name in (("page", PAGE), ("data sheet", DATASHEET), ("CycloneDX", BOM), ("Croissant", CROISSANT)):
        print(f"{title:12} {verified.provenance / name}")
    return 0


def _facts(verified: Verified) -> Facts:
    return Facts(verified.provenance, verified.name, verified.chain, verified.ends)


def _documents(verified: Verified) -> Iterator[str]:
    """Identity, source and first step (``-`` where no step reached it) of each document, a line each."""
    import pyarrow.parquet as pq

    yield "\t".join((*PACKED_DOCUMENTS.names[:2], "first_step"))
    archive = Archive(verified.provenance / "dvc.lock", Path("dvc.lock"))
    for resource in verified.statement.predicate.runDetails.byproducts:
        training = resource.name.removeprefix(BYPRODUCT)
        if verified.chain.records[training].stage != TRAINING:
            continue  # a fine-tuning: of examples, which it saw
        exposure = Exposure(INDEX, training, resource.digest["sha256"])
        tokens = verified.chain.records[training].inputs["tokens"]
        found = archive.locate(tokens, verified.chain.records[tokens])
        if found is None:
            raise InputError(f"tokens {tokens[:16]}", found="not on this machine", expected="the packed documents",
                             fix="`dvc fetch pack`, then trace again")  # fmt: skip
        table = pq.read_table(found["train.documents.parquet"], columns=PACKED_DOCUMENTS.names[:2])
        for row, (doc_id, source) in enumerate(zip(*(column.to_pylist() for column in table.columns), strict=True)):
            step = exposure.first_step(row)
            yield f"{doc_id}\t{source}\t{'-' if step is None else step}"


def _sources(facts: Facts) -> Iterator[str]:
    for row in facts.corpus["rows"]:
        yield f"{row['source']}, {row['split']}: {number(row['documents'])} documents, {number(row['bytes'])} bytes"
    for found in facts.objects:
        place = found.get("path") or found.get("version") or ""
        yield f"{found['name']} {place}, {number(found['bytes'])} bytes, sha256 {found['sha256'][:16]}"


def _licences(facts: Facts) -> Iterator[str]:
    yield f"{', '.join(facts.licences)}: {ASKS[roll_up(facts.licences)]}"
    yield from (f"{' and '.join(finding.licences)}: {finding.reason}" for finding in facts.incompatibilities)


def _dropped(facts: Facts) -> Iterator[str]:
    for stage, report in facts.books:
        told = ", ".join(f"{reason} {number(count)}" for reason, count in report["dropped"].items() if count)
        yield f"{stage}: {number(report['kept'])} of {number(report['received'])} kept{f' ({told})' if told else ''}"


def _checks(facts: Facts) -> Iterator[str]:
    stages = dict.fromkeys(stage for stage, _ in facts.checks)
    for stage in stages:
        states = [found["state"] for name, found in facts.checks if name == stage]
        yield f"{stage}: {states.count('passed')} of {len(states)} passed"


def _parents(facts: Facts) -> Iterator[str]:
    found = facts.chain.parents(facts.ends["model"])
    yield from (f"model {digest[:16]}, execution {record.execution[:16]}" for digest, record in found)
    if not found:
        yield "none: trained from its first weights"


def _stages(facts: Facts) -> Iterator[str]:
    for digest, record in facts.chain.records.items():
        yield f"{record.stage}: record {digest[:16]}, code {record.fingerprint[:16]}"


def _machine(verified: Verified) -> Iterator[str]:
    told = verified.statement.predicate.buildDefinition.internalParameters["surroundings"]
    processor = told["processor"]
    yield f"{processor['name']} ({processor['kind']}: {', '.join(processor['instructions'])})"
    yield f"{told['interpreter']}; {', '.join(f'{name} {version}' for name, version in told['libraries'].items())}"


def _block(title: str, lines: Iterator[str]) -> Iterator[str]:
    for number_of_line, line in enumerate(lines):
        yield f"  {title if number_of_line == 0 else '':10} {line}"
