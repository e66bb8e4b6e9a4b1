"""The model card: what a version is, how it scores, and how to use it, as Markdown.

In: the contents of a version. Out: a text for people, stored with the version and shown in MLflow's UI.
In between: it is made of the records and the report alone, so equal contents give an equal card.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.core.files import read_json
from components.core.records import REPORT
from components.registry.contents import Contents

_HEADLINES = ("bits_per_byte", "baseline_bits_per_byte", "loss_per_token", "perplexity", "documents", "tokens")


def write_card(name: str, contents: Contents) -> str:
    """The card of a version of ``name``."""
    report = read_json(contents.evaluation / REPORT)
    return "\n".join([*_head(name, contents), *_scores(report), *_values(contents.params), *_how_to_use(name)]) + "\n"


def _head(name: str, contents: Contents) -> Iterator[str]:
    yield f"# {name}\n"
    yield "A decoder-only language model, trained and scored by Pedigree. It continues text, no more.\n"
    yield f"- Digest of this version: `{contents.digest}`"
    for part, record in contents.records.items():
        yield f"- {part}: stage `{record.stage}`, execution `{record.execution[:16]}`"


def _scores(report: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Scores on held-out documents\n\n| figure | value |\n|---|---|"
    for key in _HEADLINES:
        if key in report:
            yield f"| {key.replace('_', ' ')} | {report[key]:,.6g} |"
    if "bits_per_byte_low" in report:
        yield f"\nBits per byte lie between {report['bits_per_byte_low']:.4f} and {report['bits_per_byte_high']:.4f}:"
        yield "a bootstrap interval over documents, at the level named below."


def _values(params: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Values it was made with\n\n| value | |\n|---|---|"
    for key, value in sorted(params.items()):
        cell = json.dumps(value, ensure_ascii=False)[:200].replace("|", "\\|")
        yield f"| `{key}` | `{cell}` |"


def _how_to_use(name: str) -> Iterator[str]:
    yield "\n## How to use it\n"
    yield '- `pedigree generate --prompt "…"` in the workspace'
    yield f"- `mlflow models serve --env-manager local -m models:/{name}@champion`: `prompt` in, `text` out"
