"""The one DAG, read from dvc.yaml exactly as `dvc repro` reads it: templates, foreach, matrix and frozen included.

In: the project in the current folder. Out: its stages in the order in which `dvc repro` would run them.
In between: DVC's repository is open, under DVC's own lock, in one thread only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from components.core.errors import PedigreeError, WorkspaceError

DEFAULT_TIMEOUT_SECONDS = 86400.0


@dataclass(frozen=True)
class Node:
    """One stage of the graph.

    ``upstream`` names the stages that it waits for, ``outs`` its output paths; ``timeout_seconds`` and ``retries``
    come from the stage's meta in dvc.yaml.
    """

    name: str
    description: str
    command: str
    upstream: tuple[str, ...]
    outs: tuple[str, ...]
    is_always_changed: bool
    timeout_seconds: float
    retries: int


@contextmanager
def open_repo() -> Iterator[Any]:
    """DVC's repository, locked. Raises WorkspaceError with DVC's reason when DVC cannot work here."""
    from dvc.exceptions import DvcException
    from dvc.parsing import ResolveError
    from dvc.repo import Repo, lock_repo

    try:
        with Repo(".", _wait_for_lock=True) as repo, lock_repo(repo):
            yield repo
    except DvcException as error:
        if isinstance(error, ResolveError):  # it tells of a value that params.yaml lacks by the template it was for
            from components.__main__ import check_params

            check_params()
        fix = "mend that file; `pedigree doctor` looks at the rest"
        raise WorkspaceError("dvc.yaml", found=_one_line(error), expected="what DVC can read", fix=fix) from error


def planned_stages(repo: Any, targets: Sequence[str] = ()) -> list[tuple[Node, Any]]:
    """The stages that ``targets`` need (all when empty) in plan order, each with DVC's own object.

    Raises PedigreeError naming a target that is not in the graph.
    """
    from dvc.repo.reproduce import get_active_graph, plan_repro

    graph = get_active_graph(repo.index.graph)
    known = {stage.addressing: stage for stage in graph}
    if unknown := [target for target in targets if target not in known]:
        raise _unknown(unknown[0], known)
    wanted = [known[target] for target in targets] or None
    return [(_node(stage, graph), stage) for stage in plan_repro(graph, wanted)]


def _node(stage: Any, graph: Any) -> Node:
    meta = stage.meta or {}
    return Node(
        name=stage.addressing,
        description=stage.desc or "",
        command=str(stage.cmd or ""),
        upstream=tuple(sorted(other.addressing for other in graph.successors(stage))),
        outs=tuple(out.def_path for out in stage.outs),
        is_always_changed=bool(stage.always_changed or stage.is_callback),
        timeout_seconds=float(meta.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)),
        retries=int(meta.get("retries", 0)),
    )


def _unknown(name: str, known: dict[str, Any]) -> PedigreeError:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {near[0]!r}?" if near else "choose one of them"
    return PedigreeError("dvc.yaml", found=f"no stage {name!r}", expected=", ".join(known), fix=fix)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
