"""What the two drivers cost: nothing to do, per stage, and side by side against in a row.

In: nothing. Out: a table on standard output. In between: real commands in toy projects, medians of interleaved runs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.flows.toys import Toy, make_toy
from tests.worlds import Workspace, make_workspace, stages_of

_RUNS = 5
_FEW, _MANY = 2, 12


def main() -> None:
    """Print every figure."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        title = f"nothing to do, debug chain ({len(stages_of()) + 1} stages)"
        print(f"{title:58} seconds, median of {_RUNS}")
        for name, seconds in nothing_to_do(root / "chain").items():
            print(f"  {name:56} {seconds:6.2f}")
        print("one trivial stage more, in a row")
        for name, seconds in per_stage(root / "rows").items():
            print(f"  {name:56} {seconds:6.2f}")
        print("three independent stages of five seconds each")
        for name, seconds in side_by_side(root / "beside").items():
            print(f"  {name:56} {seconds:6.2f}")


def nothing_to_do(folder: Path) -> dict[str, float]:
    """Wall seconds of each driver over a chain that is up to date."""
    chain = make_workspace(folder)
    chain.pedigree("run")
    chain.dvc("repro")
    commands = {"dvc repro": ("-m", "dvc", "repro"), "pedigree run": ("-m", "flows.cli", "run")}
    return _medians({name: _timer(chain, command) for name, command in commands.items()})


def per_stage(folder: Path) -> dict[str, float]:
    """Seconds that one more stage costs: (time of many - time of few) / the difference in stages."""
    figures = {}
    for name, command in (("bare function", None), ("dvc repro", ("-m", "dvc", "repro")),
                          ("pedigree run", ("-m", "flows.cli", "run"))):  # fmt: skip
        taken = {number: _build(folder / f"{name}-{number}", number, command) for number in (_FEW, _MANY)}
        figures[name] = (taken[_MANY] - taken[_FEW]) / (_MANY - _FEW)
    return {**figures, "pedigree run above dvc repro": figures["pedigree run"] - figures["dvc repro"]}


def side_by_side(folder: Path) -> dict[str, float]:
    """Wall seconds of three independent stages that wait five seconds each."""
    figures = {}
    for name, command in (("dvc repro", ("-m", "dvc", "repro")), ("pedigree run", ("-m", "flows.cli", "run"))):
        graph = {f"s{i}": (f"python -c \"import time; time.sleep(5); open('s{i}.txt', 'w')\"", []) for i in range(3)}
        figures[name] = _timed(_toy(folder / name, graph), command)
    return figures


def _build(folder: Path, number: int, command: tuple[str, ...] | None) -> float:
    graph = {}
    for i in range(number):
        before = [f"s{i - 1}.txt"] if i else []
        graph[f"s{i}"] = (f"python -c \"open('s{i}.txt', 'w').write('{i}')\"", before)
    toy = _toy(folder, graph)
    if command:
        return statistics.median(_timed(_toy(folder / str(i), graph), command) for i in range(3))
    started = time.perf_counter()
    for line, _ in graph.values():
        subprocess.run(["/bin/sh", "-c", line], cwd=toy.root, env=toy.environment(), check=True)
    return time.perf_counter() - started


def _toy(folder: Path, graph: dict[str, tuple[str, list[str]]]) -> Toy:
    toy = make_toy(folder)
    lines = ["stages:"]
    for name, (command, deps) in graph.items():
        lines += [f"  {name}:", f"    cmd: {command}", f"    outs: [{name}.txt]"]
        lines += [f"    deps: [{', '.join(deps)}]"] if deps else []
    (toy.root / "dvc.yaml").write_text("\n".join(lines) + "\n")
    return toy


def _timer(chain: Workspace, command: tuple[str, ...]) -> list[float]:
    taken = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        chain.python(*command)
        taken.append(time.perf_counter() - started)
    return taken


def _timed(toy: Toy, command: tuple[str, ...]) -> float:
    started = time.perf_counter()
    done = toy.run(*command)
    if done.returncode:
        sys.exit(done.stdout)
    return time.perf_counter() - started


def _medians(taken: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


if __name__ == "__main__":
    main()
