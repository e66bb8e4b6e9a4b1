"""What would run, and why.

In: the graph, dvc.lock, the files and the code as they are now. Out: for each stage the reasons of its own.
In between: nothing runs; only the fingerprints of the code are written anew, which costs a second and is what the
first stage of the chain would do. A copy of each fingerprint is kept under its digest, so that a plan can say which
module or library is not what it was when dvc.lock was written.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from components.core.files import write_whole
from components.core.lock import STATE
from flows.graph import Node, open_repo, planned_stages
from flows.lockfiles import recorded_stages

FINGERPRINTS = Path("data/fingerprints")
_KEPT = STATE / "fingerprints"
_COMMAND = "python -m components fingerprint "


@dataclass(frozen=True)
class Plan:
    """The stages in order, and for each that would run the reasons of its own (not its upstream's)."""

    nodes: dict[str, Node]
    reasons: dict[str, list[str]]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to do."""
        return not self.reasons

    @cached_property
    def to_run(self) -> tuple[str, ...]:
        """The stages that have reasons of their own or follow one that does, in order."""
        found: list[str] = []
        for name in self.nodes:
            if name in self.reasons or not set(found).isdisjoint(self._awaited(name)):
                found.append(name)
        return tuple(found)

    def _awaited(self, name: str) -> list[str]:
        """The stages before ``name`` whose results are not known yet, as fingerprints are."""
        return [other for other in self.nodes[name].upstream if not _writes_fingerprints(self.nodes[other])]

    def lines(self) -> Iterator[str]:
        """The plan for a reader: a line per stage that would run, with why."""
        width = max(map(len, self.to_run), default=0)
        for name in self.to_run:
            before = " or ".join(other for other in self._awaited(name) if other in self.to_run)
            reasons = self.reasons.get(name) or [f"if {before} turns out different"]
            yield f"  {name:{width}}  {'; '.join(reasons)}"


def make_plan(targets: Sequence[str] = ()) -> Plan:
    """Look at everything that ``targets`` need (all stages when empty). Raises PedigreeError."""
    with open_repo() as repo:
        planned = planned_stages(repo, targets)
        if any(_writes_fingerprints(node) for node, _ in planned):
            _write_fingerprints()
        recorded = recorded_stages()
        reasons = {node.name: list(_reasons(node, stage, recorded)) for node, stage in planned}
    nodes = {node.name: node for node, _ in planned}
    return Plan(nodes, {name: found for name, found in reasons.items() if found})


def keep_fingerprints() -> None:
    """Keep a copy of every fingerprint under the digest by which dvc.lock names it."""
    for path in sorted(FINGERPRINTS.glob("*.json")):
        kept = _KEPT / f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}.json"
        if not kept.exists():
            write_whole(kept, path.read_bytes())


def _write_fingerprints() -> None:
    from components.__main__ import fingerprint
    from flows.refresh import pin_when_absent

    if lines := pin_when_absent():
        print("The sources had never been pinned; now they are:", *lines, sep="\n", file=sys.stderr)
    keep_fingerprints()
    fingerprint(FINGERPRINTS)


def _writes_fingerprints(node: Node) -> bool:
    return node.command.startswith(_COMMAND)


def _reasons(node: Node, stage: Any, recorded: Collection[str]) -> Iterator[str]:
    """Why DVC would run a stage, in its user's words; the fingerprints' own stage has done its work by now."""
    if node.is_always_changed and not _writes_fingerprints(node):
        yield "runs every time"
    if node.name not in recorded:
        yield "has not run yet"
        return
    told = stage.status().get(node.name, [])
    changes = {kind: names for entry in told if isinstance(entry, dict) for kind, names in entry.items()}
    if stage.cmd_changed:
        yield "its command changed"
    yield from _changed_deps(stage, changes.get("changed deps", {}))
    yield from _changed_outs(changes.get("changed outs", {}))


def _changed_deps(stage: Any, changes: Mapping[str, Any]) -> Iterator[str]:
    for dep in stage.deps:
        state = changes.get(str(dep))
        if isinstance(state, dict):
            yield from _changed_values(dep, state)
        elif state and Path(dep.def_path).parent == FINGERPRINTS:
            yield _changed_code(dep)
        elif state:
            yield f"{dep.def_path} {_in_words(state)}"


def _changed_outs(changes: Mapping[str, Any]) -> Iterator[str]:
    names = [Path(path).stem for path in changes if Path(path).parent == FINGERPRINTS]
    if names:
        yield f"the code of {', '.join(names)} changed"
    for path, state in changes.items():
        if Path(path).parent != FINGERPRINTS:
            yield f"output {path} {_in_words(state)}"


def _changed_values(dep: Any, changes: Mapping[str, str]) -> Iterator[str]:
    before, now = dep.hash_info.value or {}, dep.read_params()
    for key in changes:
        yield f"{dep.def_path}: {key} {_difference(before.get(key), now.get(key))}"


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        return "(" + ", ".join(f"{key} {_difference(before.get(key), now.get(key))}" for key in keys) + ")"
    return f"{_short(before)} → {_short(now)}"


def _short(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _changed_code(dep: Any) -> str:
    kept, now = _KEPT / f"{dep.hash_info.value}.json", Path(dep.def_path)
    if not kept.exists() or not now.exists():
        return "its code changed"
    differences = list(_differing_parts(json.loads(kept.read_bytes()), json.loads(now.read_bytes())))
    return f"its code changed ({', '.join(differences)})"


def _differing_parts(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Which modules, files and libraries differ between two fingerprints."""
    for part in sorted({*before, *now} - {"digest"}):
        old, new = before.get(part), now.get(part)
        if isinstance(old, dict) and isinstance(new, dict):
            for name in sorted(key for key in {*old, *new} if old.get(key) != new.get(key)):
                yield _part(part, name, old.get(name), new.get(name))
        elif old != new:
            yield f"{part} {old} → {new}"


def _part(part: str, name: str, old: str | None, new: str | None) -> str:
    if part == "libraries":
        return f"{name} {old or 'none'} → {new or 'none'}"
    return f"{name} {'added' if old is None else 'removed' if new is None else 'changed'}"


def _in_words(state: Any) -> str:
    words = {"deleted": "is missing", "modified": "changed", "new": "is new", "not in cache": "is not in DVC's cache"}
    return words.get(str(state), str(state))
