"""What models reach that saw nothing but the shared data, without any test part, beside the floors of the same part.

    python -m tests.benchmarks.applications [NAME…]        without names: every task of tests.benchmarks.bars

In: the shared data of each task, and the recipes ``infra/recipes/bars/NAME.yaml``, laid over that of what is read
first, where tasks share it (``english.yaml``), over ``common.yaml`` and over ``debug``. Out: a table on standard
output; ``reading`` are the minutes until the model of ``train`` is there, ``asked`` those after. In between: a
workspace for each corpus, in which the real stages run from the pinned records to ``assess``; tasks that share a
corpus share its model, which the first of them waits for.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from components.applications import APPLICATIONS
from components.applications.application import Draft, Material
from components.core.files import read_json
from components.core.params import load
from tests.benchmarks.bars import BARS, CORPORA, Bar, Placed
from tests.worlds import ROOT, Workspace, make_workspace

_RECIPES = ROOT / "infra" / "recipes"
Values = dict[str, Any]


def main(names: Iterable[str]) -> None:
    """Run each task and print its line."""
    columns = f"{'task':10} {'metric':10} {'ours':>7} {'interval':>16} {'best floor':>11} {'bar':>6}"
    print(f"{columns} {'reading':>8} {'asked':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names or BARS:
            print(measure(name, Path(folder) / (BARS[name].corpus or name)), flush=True)


def measure(name: str, root: Path) -> str:
    """Bring a task to its last stage in the workspace at ``root``; returns its line of the table."""
    workspace = Workspace(root) if root.exists() else make_workspace(root)
    application, begin = BARS[name].application, time.monotonic()
    write_data(BARS[name], root)
    write_params(name, BARS[name], root)
    workspace.pedigree("refresh", "--yes")
    workspace.python("-m", "flows.cli", "run", "train", timeout=3600)
    has_read = time.monotonic()
    workspace.python("-m", "flows.cli", "run", f"assess@{application}", timeout=3600)
    report = read_json(root / "data" / "assess" / application / "report.json")
    return _line(name, report, has_read - begin, time.monotonic() - has_read)


def _line(name: str, report: Mapping[str, Any], *seconds: float) -> str:
    """A task's metric with its interval, the best of its floors on the same test part, the bar, and minutes."""
    metric, least = BARS[name].metric, BARS[name].least
    ours, low, high, floor = (report.get(metric + part, math.nan) for part in ("", "_low", "_high", "_floor"))
    interval, bar = f"{low:.3f} to {high:.3f}", "floor" if least is None else f"{least:g}"
    minutes = " ".join(f"{part / 60:8.1f}" for part in seconds)
    return f"{name:10} {metric:10} {ours:7.3f} {interval:>16} {floor:11.3f} {bar:>6} {minutes}"


def write_data(bar: Bar, root: Path) -> None:
    """The records of each split, and the training part as documents, from which the vocabulary is learned."""
    placed = list(bar.read())
    shutil.rmtree(root / "records", ignore_errors=True)  # those of another task that has the same corpus
    for split in {split for split, _ in placed}:
        _write_lines(root / "records" / f"{split or 'all'}.jsonl", (record for s, record in placed if s == split))
    _write_lines(root / "corpus" / "train.jsonl", ({"text": text} for text in _texts(bar, placed)))


def _texts(bar: Bar, placed: Iterable[Placed]) -> Iterable[str]:
    """What a model reads when it learns: every example of the training part, or the task's corpus."""
    if bar.corpus:
        yield from CORPORA[bar.corpus]()
        return
    application = APPLICATIONS[bar.application]
    materials = [Material(f"{n:09}", r, "records", "", None, s or None) for n, (s, r) in enumerate(placed)]
    for material, made in application.convert(materials, application.options()):
        if material.split == "train" and isinstance(made, Draft):
            yield application.ask(made.request) + str(made.answer)


def write_params(name: str, bar: Bar, root: Path) -> None:
    """The recipe of a task as the workspace's params.yaml."""
    layers = [load(_RECIPES / "bars" / f"{layer}.yaml") for layer in ("common", bar.corpus, name) if layer]
    values = reduce(_changed, layers, load(_RECIPES / "debug.yaml"))
    values["applications"] = layers[-1]["applications"]
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
