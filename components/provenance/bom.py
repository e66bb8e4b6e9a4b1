"""The bill of materials of a version: CycloneDX 1.6 with a model card (cyclonedx.org/docs/1.6/json).

In: the facts of a version. Out: plain values for JSON. In between: model, corpus, raw objects and libraries are
components, and the graph of dependencies says which was made from which. No clock: equal versions, equal bills.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from components.core.records import Record
from components.provenance.corpus import total
from components.provenance.facts import Facts

_SPDX = re.compile(r"[A-Za-z0-9.+-]+(\s+(AND|OR|WITH)\s+[A-Za-z0-9.+-]+)*")
_CORPUS = "corpus"


def bill_of_materials(facts: Facts) -> dict[str, Any]:
    """The bill as CycloneDX has it."""
    objects = [_raw_object(number, found) for number, found in enumerate(facts.objects)]
    libraries = [_library(name, version) for name, version in sorted(facts.requirements.items())]
    model = facts.digest
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'pedigree:{model}')}",
        "version": 1,
        "metadata": {"component": _model(facts)},
        "components": [_corpus(facts), *_finetuned(facts), *objects, *libraries],
        "dependencies": [
            {"ref": model, "dependsOn": [_CORPUS, *(library["bom-ref"] for library in libraries)]},
            {"ref": _CORPUS, "dependsOn": [found["bom-ref"] for found in objects]},
            *({"ref": found["bom-ref"], "dependsOn": [model]} for found in _finetuned(facts)),
        ],
    }


def _finetuned(facts: Facts) -> list[dict[str, Any]]:
    """The models that were made from it."""
    return [
        {"type": "machine-learning-model", "bom-ref": f"finetuned/{name}", "name": f"{facts.name}, {name}",
         "version": record.execution, "hashes": _hashes(record)}
        for name, record in facts.finetuned
    ]  # fmt: skip


def _hashes(record: Record) -> list[dict[str, Any]]:
    return [{"alg": "SHA-256", "content": entry.sha256}
            for name, entry in sorted(record.files.items()) if name.endswith(".safetensors")]  # fmt: skip


def _model(facts: Facts) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": facts.digest,
        "name": facts.name,
        "version": facts.digest,
        "hashes": _hashes(facts.model),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "self-supervised"},
                "task": "text generation",
                "architectureFamily": "Transformer",
                "modelArchitecture": "decoder-only Transformer",
                "datasets": [{"ref": _CORPUS}],
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": [_metric(facts, *score) for score in facts.headline_scores]},
            "considerations": {
                "useCases": ["continuing texts of the kind that it was trained on"],
                "technicalLimitations": ["states no facts reliably", "not made to decide about people"],
            },
        },
    }  # fmt: skip


def _metric(facts: Facts, key: str, value: float) -> dict[str, Any]:
    interval = facts.interval(key)
    bounds = {"lowerBound": str(interval[0]), "upperBound": str(interval[1])} if interval else None
    return {"type": key, "value": str(value), **({"confidenceInterval": bounds} if bounds else {})}


def _corpus(facts: Facts) -> dict[str, Any]:
    counts = total(facts.corpus, "split")
    text = ", ".join(f"{split}: {count:,} documents" for split, count in counts.items())
    return {
        "type": "data",
        "bom-ref": _CORPUS,
        "name": f"corpus of {facts.name}",
        "version": ", ".join(digest[:16] for digest, _ in facts.corpora) or "none",
        "description": text,
        "licenses": _licences(facts.licences),
        "data": [{"type": "dataset", "name": "documents", "classification": "training"}],
    }


def _raw_object(number: int, found: dict[str, Any]) -> dict[str, Any]:
    place = found.get("path") or found.get("url") or found.get("distribution") or found["name"]
    return {
        "type": "data",
        "bom-ref": f"raw-{number}",
        "name": str(place),
        "version": str(found.get("version", found["sha256"])),
        "hashes": [{"alg": "SHA-256", "content": found["sha256"]}],
        "licenses": _licences([str(found["licence"])]),
        "data": [{"type": "dataset", "name": str(found["name"])}],
    }


def _library(name: str, version: str) -> dict[str, Any]:
    address = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": address, "name": name, "version": version, "purl": address}


def _licences(names: list[str]) -> list[dict[str, Any]]:
    """One SPDX expression over all where they are SPDX, else each by its words."""
    if names and all(_SPDX.fullmatch(name) for name in names):
        return [{"expression": " AND ".join(f"({name})" if " " in name else name for name in names)}]
    return [{"license": {"name": name}} for name in names if name]
