"""What models reach that saw nothing but the training part of their task, beside the floors of the same test part.

    python -m tests.benchmarks.applications [NAME…]        without names: every task of tests.benchmarks.bars

In: the shared data of each task, and the recipe ``infra/recipes/bars/NAME.yaml``, which says what differs from
``bars/common.yaml`` and that from ``debug``. Out: a table on standard output. In between: a workspace of its own, in
which the real stages run from the pinned records to ``assess``; vocabulary and weights come from the training part
alone.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from components.applications import APPLICATIONS
from components.applications.application import Draft, Material
from components.core.files import read_json
from components.core.params import load
from tests.benchmarks.bars import BARS, Bar, Placed
from tests.worlds import ROOT, Workspace, make_workspace

_RECIPES = ROOT / "infra" / "recipes"
Values = dict[str, Any]


def main(names: Iterable[str]) -> None:
    """Run each task and print its line."""
    print(f"{'task':10} {'metric':10} {'ours':>7} {'interval':>16} {'best floor':>11} {'bar':>6} {'minutes':>8}")
    for name in names or BARS:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(name, make_workspace(Path(folder) / name)), flush=True)


def measure(name: str, workspace: Workspace) -> str:
    """Bring a task to its last stage; returns its line of the table."""
    bar, begin = BARS[name], time.monotonic()
    write_data(bar, workspace.root)
    write_params(name, bar, workspace.root)
    workspace.pedigree("refresh", "--yes")
    workspace.python("-m", "flows.cli", "run", f"assess@{bar.application}", timeout=3600)
    report = read_json(workspace.root / "data" / "assess" / bar.application / "report.json")
    return _line(name, report, time.monotonic() - begin)


def _line(name: str, report: Mapping[str, Any], seconds: float) -> str:
    """A task's metric with its interval, the best of its floors on the same test part, and the bar."""
    metric, least = BARS[name].metric, BARS[name].least
    ours, low, high, floor = (report.get(metric + part, math.nan) for part in ("", "_low", "_high", "_floor"))
    interval, bar = f"{low:.3f} to {high:.3f}", "floor" if least is None else f"{least:g}"
    return f"{name:10} {metric:10} {ours:7.3f} {interval:>16} {floor:11.3f} {bar:>6} {seconds / 60:8.1f}"


def write_data(bar: Bar, root: Path) -> None:
    """The records of each split, and the training part as documents, from which the vocabulary is learned."""
    placed = list(bar.read())
    for split in {split for split, _ in placed}:
        _write_lines(root / "records" / f"{split or 'all'}.jsonl", (record for s, record in placed if s == split))
    _write_lines(root / "corpus" / "train.jsonl", ({"text": text} for text in _texts(bar, placed)))


def _texts(bar: Bar, placed: Iterable[Placed]) -> Iterable[str]:
    """What a model reads when it learns: every example of the training part, or the task's own corpus."""
    if bar.corpus:
        yield from bar.corpus()
        return
    application = APPLICATIONS[bar.application]
    materials = [Material(f"{n:09}", r, "records", "", None, s or None) for n, (s, r) in enumerate(placed)]
    for material, made in application.convert(materials, application.options()):
        if material.split == "train" and isinstance(made, Draft):
            yield application.ask(made.request) + str(made.answer)


def write_params(name: str, bar: Bar, root: Path) -> None:
    """The recipe of a task as the workspace's params.yaml."""
    own = load(_RECIPES / "bars" / f"{name}.yaml")
    values = _changed(_changed(load(_RECIPES / "debug.yaml"), load(_RECIPES / "bars" / "common.yaml")), own)
    values["applications"] = own["applications"]
    values["finetune"]["assistant"]["applications"] = {bar.application: 1}
    values["collect"]["sources"] = [_source(bar, path.stem) for path in sorted((root / "records").iterdir())]
    with (root / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(values, file)


def _source(bar: Bar, stem: str) -> Values:
    place = {} if stem == "all" else {"split": stem}
    return {"name": stem, "application": bar.application, "paths": [f"records/{stem}.jsonl"], "format": "jsonl",
            "licence": "as its PROVENANCE.txt says", **place}  # fmt: skip


def _changed(values: Values, changes: Mapping[str, Any]) -> Values:
    """``values`` with ``changes`` laid over them, section by section."""
    merged = {**values, **changes}
    for key in values.keys() & changes.keys():
        if isinstance(values[key], dict) and isinstance(changes[key], dict):
            merged[key] = _changed(values[key], changes[key])
    return merged


def _write_lines(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main(sys.argv[1:])
