"""Does the cache lie? Planted changes, each with what must run again; ours beside plain file dependencies.

In: a built workspace. Out: a table, a row per planted change (``make honesty``), and the score that a test demands.
In between: each change is planted in a fresh copy, and the real driver is asked what it would run. "Plain" is
the same graph the way most projects write it: each stage depends on its own folder of code and on its data.
A change is answered truly when exactly the stages that it touches directly would run; what follows them runs
only if their bytes differ, which both ways leave to DVC.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from components.__main__ import ROOMS
from tests.worlds import Workspace, clone_workspace, make_workspace

NOTHING: frozenset[str] = frozenset()
INGEST, COLLECT = frozenset({"ingest"}), frozenset({"collect"})
CHECKS = frozenset({
    "validate@documents", "validate@corpus", "validate@tokens", "check@answer", "check@classify",
})  # fmt: skip
PREPARE = frozenset({"prepare@answer", "prepare@classify"})
ASSISTANT = frozenset({"finetune@assistant", "assess@answer", "assess@classify"})
TENSORS = ASSISTANT | {"train", "evaluate"}
REGISTRY = frozenset({"register", "promote"})
ALL = INGEST | COLLECT | CHECKS | PREPARE | TENSORS | REGISTRY | {"preprocess", "tokenizer", "pack"}
REFUSED = "refused"
Answer = frozenset[str] | str


@dataclass(frozen=True)
class Change:
    """One planted change: how it is planted and which stages it touches directly, or that it must be refused."""

    name: str
    plant: Callable[[Workspace], object]
    expected: Answer


def append(file: str, text: str) -> Callable[[Workspace], object]:
    """Plant by adding text to the end of a file."""

    def plant(workspace: Workspace) -> None:
        with (workspace.root / file).open("a") as opened:
            opened.write(text)

    return plant


def replace(file: str, old: str, new: str) -> Callable[[Workspace], object]:
    """Plant by replacing a text that must be there."""
    return lambda workspace: workspace.replace(file, old, new)


def flip(pattern: str, *, is_silent: bool = False) -> Callable[[Workspace], object]:
    """Plant by changing one byte of the first file that matches; silently: size and time stay as they were."""

    def plant(workspace: Workspace) -> None:
        if is_silent:  # let the driver take in the size and the time that the change will hide behind
            workspace.dvc("status", check=False)
        path = next(path for path in sorted(workspace.root.glob(pattern)) if path.is_file())
        before, data = path.stat(), bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        if is_silent:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return plant


def then(*plants: Callable[[Workspace], object]) -> Callable[[Workspace], object]:
    """Plant several changes, one after the other."""

    def plant(workspace: Workspace) -> None:
        for each in plants:
            each(workspace)

    return plant


def pedigree(*arguments: str) -> Callable[[Workspace], object]:
    """Plant by a command of ours."""
    return lambda workspace: workspace.pedigree(*arguments)


def at(pattern: str, action: Callable[[Path], object]) -> Callable[[Workspace], object]:
    """Plant by doing something to the first path that matches."""
    return lambda workspace: action(sorted(workspace.root.glob(pattern))[0])


def install(name: str) -> Callable[[Workspace], object]:
    """Plant another version of an installed library, where the interpreter finds it first."""
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 9999.0\n"

    def plant(workspace: Workspace) -> None:
        from importlib.metadata import requires

        folder = workspace.root / f"{name.replace('-', '_')}-9999.0.dist-info"
        folder.mkdir()
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires(name) or ())
        (folder / "METADATA").write_text(text + needs + "\n")

    return plant


READ_BY = {
    "Python": "open({path!r}, 'rb').read()",
    "NumPy": "import numpy; numpy.fromfile({path!r}, dtype='u1')",
    "Polars": "import polars; polars.read_parquet({path!r})",
    "Arrow": "import pyarrow.parquet; pyarrow.parquet.read_table({path!r})",
    "a child process": "import subprocess; subprocess.run(['cat', {path!r}], check=True, capture_output=True)",
    "listing a folder": "import os; os.listdir({folder!r})",
    "a link inside its scratch": "import os; os.symlink({path!r}, output / 'l'); (output / 'l').read_bytes()",
}
_STAGE = "components/tokenizer/stage.py"


def undeclared(code: str) -> Callable[[Workspace], object]:
    """Plant code at the head of the tokenizer's stage function that reaches for what is not declared."""

    def plant(workspace: Workspace) -> None:
        path = workspace.root / "data" / "ingest" / "documents-00000.parquet"
        line = code.format(path=str(path), folder=str(path.parent))
        add_first_line(workspace.root / _STAGE, "tokenizer", line)

    return plant


def add_first_line(path: Path, function: str, line: str) -> None:
    """Insert a line before the first statement of a function, after its docstring."""
    import ast

    text = path.read_text()
    nodes = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == function]
    body = [node for node in nodes[0].body if not isinstance(node, ast.Expr)]
    lines = text.splitlines(keepends=True)
    lines.insert(body[0].lineno - 1, f"    {line}\n")
    path.write_text("".join(lines))


def changed_stages(workspace: Workspace) -> Answer:
    """The stages that the driver would run because of something of their own, or ``refused``."""
    done = workspace.stage("fingerprint", "--output", "data/fingerprints", check=False)
    if done.returncode:
        return REFUSED
    return _status(workspace)


def changed_stages_of_plain(workspace: Workspace) -> Answer:
    """The same question to plain file dependencies."""
    return _status(workspace)


def _status(workspace: Workspace) -> Answer:
    done = workspace.dvc("status", "--json", check=False)
    if done.returncode:
        return REFUSED
    told = json.loads(done.stdout[done.stdout.index("{") :])
    changed = {name for name, reasons in told.items() if any(reason != "always changed" for reason in reasons)}
    return frozenset(changed - {"fingerprint"})


def make_plain(built: Workspace, folder: Path) -> Workspace:
    """The same results under a dvc.yaml as most write it: each stage lists its folder of code, ingest its source."""
    plain = clone_workspace(built, folder)
    text = (plain.root / "dvc.yaml").read_text()
    before, _, rest = text.partition("  fingerprint:\n")
    text = before + "  ingest:\n" + rest.partition("\n  ingest:\n")[2]
    for stage in sorted(ALL):
        name = stage.partition("@")[0]
        room = ROOMS.get(stage) or ROOMS[f"{name}@"]
        text = text.replace(f"data/fingerprints/{name}.json", f"components/{room}")
    text = text.replace("sources.lock.json]", "sources.lock.json, corpus]")
    text = text.replace("records.lock.json]", "records.lock.json, records]")
    (plain.root / "dvc.yaml").write_text(text.replace("    always_changed: true\n", ""))
    plain.dvc("commit", "--force")
    return plain


def ask(base: Workspace, change: Change, question: Callable[[Workspace], Answer]) -> Answer:
    """Plant a change in a fresh copy of ``base`` and ask what would run."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = clone_workspace(base, Path(folder) / "workspace")
        change.plant(workspace)
        return question(workspace)


PINNED_ANEW = pedigree("refresh", "--yes")
ONE_RECORD_MORE = append("records/labels.csv", "Measures the width of a river.,function\n")


def planted_changes() -> Iterator[Change]:
    """Every planted change that is answered by asking what would run."""
    tokenizer = frozenset({"tokenizer"})
    yield Change("nothing at all", lambda workspace: None, NOTHING)
    # Code
    yield Change("code: a helper of every stage", append("components/core/files.py", "\n_PLANTED = 1\n"), ALL)
    yield Change(
        "code: a helper three imports away (pack, stage, writer, tokens)",
        append("components/core/tokens.py", "\n_PLANTED = 1\n"),
        CHECKS | PREPARE | TENSORS | {"pack"},
    )
    yield Change(
        "code: a helper of one stage", append("components/evaluate/scoring.py", "\nX = 1\n"), frozenset({"evaluate"})
    )
    yield Change("code: the model", append("components/model/transformer.py", "\nX = 1\n"), TENSORS | REGISTRY)
    yield Change(
        "code: a default in a config",
        replace("components/preprocess/config.py", "Field(100_000", "Field(90_000"),
        frozenset({"preprocess"}),
    )
    yield Change("code: the runner of stages", append("components/core/child.py", "\nX = 1\n"), ALL)
    yield Change("code: an expression with the same value", replace(_STAGE, '"train"', '"tr" "ain"'), NOTHING)
    yield Change("code: a comment", append("components/core/files.py", "\n# A comment.\n"), NOTHING)
    yield Change("code: a docstring", replace(_STAGE, '"""The stage', '"""The good stage'), NOTHING)
    yield Change("code: formatting", append("components/core/files.py", "\n\n\n"), NOTHING)
    yield Change("code: a new module that nobody imports", append("components/pack/unused.py", "X = 1\n"), NOTHING)
    yield Change("code: the outer process", append("components/core/execute.py", "\nX = 1\n"), NOTHING)
    yield Change("code: a flow", append("flows/run.py", "\nX = 1\n"), NOTHING)
    yield Change("code: a file only touched", at("components/core/files.py", os.utime), NOTHING)
    # Libraries
    users = TENSORS | REGISTRY | {"tokenizer", "pack"}
    yield Change("library: tokenizers, another version", install("tokenizers"), users)
    yield Change("library: one that TensorFlow requires", install("ml-dtypes"), TENSORS | REGISTRY)
    yield Change("library: one that no stage uses", install("pytest"), NOTHING)
    # Parameters
    yield Change(
        "params: a value that a stage uses", replace("params.yaml", "min_frequency: 2", "min_frequency: 3"), tokenizer
    )
    yield Change("params: a comment", append("params.yaml", "\n# A comment.\n"), NOTHING)
    yield Change(
        "params: another spelling of a number", replace("params.yaml", "level: 0.95", "level: 9.5e-1"), NOTHING
    )
    yield Change(
        "params: the values of one check only",
        replace("params.yaml", "tokens:\n    min_windows: 1", "tokens:\n    min_windows: 2"),
        frozenset({"validate@tokens"}),
    )
    yield Change("params: an unknown key", replace("params.yaml", "min_frequency", "min_frequenzy"), REFUSED)
    yield Change("params: a wrong type", replace("params.yaml", "min_frequency: 2", "min_frequency: two"), REFUSED)
    yield Change("params: an unknown section", append("params.yaml", "\ntrian: {}\n"), REFUSED)
    # Sources
    yield Change("source: a byte", flip("corpus/*.txt"), REFUSED)
    yield Change("source: a byte, under its old size and time", flip("corpus/*.txt", is_silent=True), REFUSED)
    yield Change("source: removed", at("corpus/*.txt", os.unlink), REFUSED)
    yield Change("source: only touched", at("corpus/*.txt", os.utime), NOTHING)
    yield Change("source: a new file in its folder, not pinned", append("corpus/new.txt", "new\n"), NOTHING)
    yield Change("source: a pin", replace("sources.lock.json", '"CC0-1.0"', '"MIT"'), INGEST)
    yield Change("source: a document, pinned anew", then(append("corpus/notes.txt", "more\n"), PINNED_ANEW), INGEST)
    # Records of applications: the base model is not made of them
    yield Change("records: a byte", flip("records/*.csv"), REFUSED)
    yield Change("records: a pin", replace("records.lock.json", '"CC0-1.0"', '"MIT"'), COLLECT)
    yield Change("records: one more, pinned anew", then(ONE_RECORD_MORE, PINNED_ANEW), COLLECT)
    yield Change("records: their source withdrawn", pedigree("withdraw", "labels", "--yes"), COLLECT)
    # Results
    outputs = ASSISTANT | {"tokenizer", "pack", "evaluate", "register"}
    json_file = "data/tokenizer/tokenizer.json"
    yield Change("result: a byte", flip(json_file), outputs)
    yield Change("result: a byte, under its old size and time", flip(json_file, is_silent=True), outputs)
    yield Change("result: removed", at("data/tokenizer", shutil.rmtree), outputs)
    yield Change("result: a file renamed", at(json_file, lambda p: p.rename(p.with_name("x.json"))), outputs)
    yield Change("result: a file added", append("data/tokenizer/extra.txt", "x"), outputs)
    yield Change("result: only touched", at(json_file, os.utime), NOTHING)
    yield Change("result: a fingerprint forged", append("data/fingerprints/pack.json", " "), NOTHING)
    # The cache
    yield Change("lock: a stage's entry edited", replace("dvc.lock", "min_frequency: 2", "min_frequency: 7"), tokenizer)


def forbidden_acts() -> Iterator[Change]:
    """Code planted into a stage that reaches for what is not declared; each must be refused."""
    for how, code in READ_BY.items():
        yield Change(f"undeclared: read by {how}", undeclared(code), REFUSED)
    yield Change(
        "undeclared: a file written outside its scratch", undeclared("open({folder!r} + '/new', 'w')"), REFUSED
    )
    connect = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(s.getsockname()); s.close()"
    )
    yield Change("undeclared: a network connection", undeclared(connect), REFUSED)
    dynamic = "import importlib; importlib.import_module('components.validate.config')"
    yield Change("undeclared: a module imported by its name", undeclared(dynamic), REFUSED)


def leaks() -> Iterator[Change]:
    """Code planted into a stage that writes down its surroundings; its result must not depend on them."""
    for what, code in {
        "a variable": "os.environ.get('PLANTED', '')",
        "the hash seed": "str(hash('a'))",
        "the time zone": "__import__('time').strftime('%H', __import__('time').localtime(0))",
        "the language": "os.environ.get('LANG', '')",
        "a settings file in the home folder": "str(os.path.exists(os.path.expanduser('~/settings')))",
        "the current folder": "os.path.basename(os.getcwd())",
    }.items():
        line = f"import os; (output / 'seen').write_text({code})"
        yield Change(f"environment: {what}", undeclared(line.replace("{", "{{").replace("}", "}}")), NOTHING)


def result_of_stage(workspace: Workspace) -> Answer:
    """Run the planted stage: ``refused`` by name and line, ``unnoticed``, or what else went wrong."""
    done = workspace.stage("tokenizer", "--corpus", "data/preprocess", "--output", "data/tokenizer", check=False)
    if done.returncode == 6 and "to do:" in done.stdout:
        return REFUSED
    return "unnoticed" if done.returncode == 0 else f"exit code {done.returncode}"


def result_in_two_places(workspace: Workspace) -> Answer:
    """Run the planted stage in two surroundings: nothing, or ``another result`` when they show."""
    seen = []
    for number in "12":
        (workspace.root / ".home").mkdir(exist_ok=True)
        (workspace.root / ".home" / "settings").touch() if number == "2" else None
        around = {"PLANTED": number, "PYTHONHASHSEED": number, "TZ": f"UTC-{number}", "LANG": f"l{number}.UTF-8"}
        words = ["tokenizer", "--corpus", "data/preprocess", "--output", f"data/tokenizer{number}"]
        done = workspace.stage(*words, check=False, **around)
        seen.append(
            (workspace.root / f"data/tokenizer{number}" / "seen").read_text() if not done.returncode else number
        )
    return NOTHING if seen[0] == seen[1] else "another result"


Question = Callable[[Workspace], Answer]


@dataclass(frozen=True)
class Case:
    """A planted change, and the questions that find out what we and what plain file dependencies make of it."""

    change: Change
    ours: Question
    theirs: Question


def cases() -> Iterator[Case]:
    """Everything that is planted."""
    yield from (Case(change, changed_stages, changed_stages_of_plain) for change in planted_changes())
    yield from (Case(change, result_of_stage, result_of_stage) for change in forbidden_acts())
    yield from (Case(change, result_in_two_places, result_in_two_places) for change in leaks())


def make_honest(folder: Path) -> Workspace:
    """The workspace that changes are planted in: the debug recipe, a local file and records, built by ``dvc repro``."""
    workspace = make_workspace(folder)
    add_records(workspace)
    (folder / "corpus").mkdir()
    paragraph = "A chain of custody says who held a thing, when, and what was done to it. "
    (folder / "corpus" / "notes.txt").write_text(paragraph * 5)
    source = "    - {kind: files, name: notes, paths: [corpus/*.txt], licence: CC0-1.0}\n"
    workspace.replace("params.yaml", "  shard_documents:", source + "  shard_documents:")
    workspace.pedigree("refresh", "--yes")
    workspace.dvc("repro")
    return workspace


def add_records(workspace: Workspace) -> None:
    """Labelled texts for the application ``classify``, beside those of the corpus."""
    (workspace.root / "records").mkdir()
    kinds = {"call": "function", "make": "class", "read": "module"}.items()
    lines = [f"Number {n} of the things that people {verb}.,{label}" for verb, label in kinds for n in range(10)]
    (workspace.root / "records" / "labels.csv").write_text("\n".join(["text,label", *lines, ""]))
    source = "\n    - {name: labels, application: classify, licence: CC0-1.0, format: csv, paths: [records/*.csv]}"
    workspace.replace("params.yaml", "collect:\n  sources: []", f"collect:\n  sources:{source}")


def without_walls(plain: Workspace) -> None:
    """Plain stages are ordinary processes: no walls, the user's environment; a second call changes nothing."""
    if "confine(job.walls)" not in (plain.root / "components/core/child.py").read_text():
        return
    plain.replace("components/core/child.py", "    confine(job.walls)\n", "")
    plain.replace("components/core/child.py", "    _check_modules(job)\n", "")
    old = "env=environment(scratch, Path(job.kernels), passed)"
    new = f"env={{**{old.removeprefix('env=')}, **os.environ}}"
    plain.replace("components/core/execute.py", old, new)


@dataclass(frozen=True)
class Row:
    """One planted change with what both answered."""

    change: Change
    ours: Answer
    plain: Answer


def ask_all(folder: Path) -> Iterator[Row]:
    """Plant everything, for ours and for plain file dependencies; a row per change."""
    honest = make_honest(folder / "honest")
    plain = make_plain(honest, folder / "plain")
    for case in cases():
        if case.theirs is not changed_stages_of_plain:
            without_walls(plain)
        yield Row(case.change, ask(honest, case.change, case.ours), ask(plain, case.change, case.theirs))


def main() -> int:
    """Print the table and the scores; the exit code is 0 when every answer of ours is true."""
    true = {"ours": 0, "plain": 0}
    print(f"{'planted change':66} {'must run':>12}  {'pedigree':8}  plain file dependencies", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for row in ask_all(Path(folder)):
            rows.append(row)
            true["ours"] += row.ours == row.change.expected
            true["plain"] += _is_fair(row.plain, row.change.expected)
            print(_line(row), flush=True)
    for name, count in true.items():
        print(f"{name:>8}: {count} of {len(rows)} true ({count / len(rows):.0%})")
    return int(true["ours"] < len(rows))


def _line(row: Row) -> str:
    expected = row.change.expected
    must = expected if isinstance(expected, str) else f"{len(expected)} stages" if expected else "nothing"
    plain = "true" if _is_fair(row.plain, expected) else _told(row.plain, expected)
    return f"{row.change.name:66} {must:>12}  {_told(row.ours, expected):8}  {plain}"


def _is_fair(answer: Answer, expected: Answer) -> bool:
    """Plain dependencies refuse nothing; what they run again may refuse by itself, so that is counted for them."""
    return answer == expected or (expected == REFUSED and isinstance(answer, frozenset) and bool(answer))


def _told(answer: Answer, expected: Answer) -> str:
    if answer == expected:
        return "true"
    if isinstance(answer, str) or isinstance(expected, str):
        return f"LIES: {answer if isinstance(answer, str) else 'not noticed'}"
    missed, extra = sorted(expected - answer), sorted(answer - expected)
    parts = [f"misses {', '.join(missed)}" if missed else "", f"runs {', '.join(extra)} for nothing" if extra else ""]
    return ("LIES: " if missed else "wastes: ") + "; ".join(part for part in parts if part)


if __name__ == "__main__":
    sys.exit(main())
