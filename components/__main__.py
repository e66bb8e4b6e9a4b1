"""Run one stage by hand: ``python -m components STAGE --INPUT PATH... --output PATH``.

In: the name of a stage and the paths of its artifacts, as dvc.yaml writes them. Out: the output folder, whole,
or one clear sentence and an exit code. In between: the values come from params.yaml.

This module is where rooms meet: it hands the registry's live run to the trainer and checks what no room can.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

try:
    from components.core import files, params
    from components.core.child import find_stage
    from components.core.errors import ParamsError, PedigreeError
    from components.core.execute import CODE_ROOT, Order, execute, is_current
    from components.core.fingerprints import write_fingerprints
    from components.core.seals import expose_silent_changes
    from components.core.stage import LiveRun, Stage
except ModuleNotFoundError as missing:  # `dvc repro` with another `python` first on the PATH
    if str(missing.name).startswith("components"):
        raise
    sys.exit(f"error: {sys.executable} has no {missing.name}; do `. .venv/bin/activate` first (made by `make install`)")

# Folders of several artifacts, which stages read as one input and which may be empty.
COLLECTIONS = ("prepare", "check", "finetune", "assess")
# Every stage in the order of the chain, and the room it lives in. One that ends in @ is taken once for each key of the
# section of params.yaml that its place begins with.
ROOMS = {
    "ingest": "ingest",
    "collect": "ingest",
    "validate@documents": "validate",
    "preprocess": "preprocess",
    "validate@corpus": "validate",
    "prepare@": "prepare",
    "check@": "validate",
    "tokenizer": "tokenizer",
    "pack": "pack",
    "validate@tokens": "validate",
    "train": "train",
    "finetune@": "train",
    "evaluate": "evaluate",
    "assess@": "assess",
    "register": "registry",
    "promote": "registry",
}
FINGERPRINT = "fingerprint"
# What was pinned of the sources of a stage. Each has a file of its own: a stage runs again when its inputs change.
PINS = {"ingest": Path("sources.lock.json"), "collect": Path("records.lock.json")}
DATA = Path("data")


def stage(name: str) -> Stage:
    """The stage called ``name``."""
    return find_stage(_room(name), name)


def stages(values: Mapping[str, Any]) -> list[str]:
    """The names of all stages, in the order of the chain, for the values of a params file."""
    found = []
    for name in ROOMS:
        if name.endswith("@"):
            found += [name + key for key in _keys(values, _family(name))]
        else:
            found.append(name)
    return found


def families() -> set[str]:
    """The sections of params.yaml whose keys make a stage each; with no key there is none."""
    return {_family(name) for name in ROOMS if name.endswith("@")}


def _family(name: str) -> str:
    return stage(name).section.partition(".")[0]


def _keys(values: Mapping[str, Any], section: str) -> Iterable[str]:
    keys = values.get(section)
    if not isinstance(keys, dict):
        expected, fix = "a mapping, {} for none", f"write `{section}: {{}}`, or copy the section from infra/recipes"
        raise ParamsError(f"params.yaml, {section}", found=type(keys).__name__, expected=expected, fix=fix)
    return keys


def _room(name: str) -> str:
    base, at, _ = name.partition("@")
    return ROOMS.get(name) or ROOMS[base + at]


def _is_stage(name: str) -> bool:
    base, at, key = name.partition("@")
    return (name in ROOMS and not name.endswith("@")) or bool(key and base + at in ROOMS)


def check_params() -> None:
    """Check every section of params.yaml at once. Raises ParamsError."""
    from components.prepare import find_application

    values = params.load()
    for name in _keys(values, "applications"):
        find_application(name)
    params.check_all(values, map(stage, stages(values)), families())
    for key, found in values["finetune"].items():
        _check_is_prepared(f"finetune.{key}.applications", found["applications"], values)


def _check_is_prepared(place: str, names: Iterable[str], values: Mapping[str, Any]) -> None:
    if unknown := sorted(set(names) - set(values["applications"])):
        expected = f"among {', '.join(values['applications']) or 'none'}"
        fix = "add it to applications, or leave it out here"
        raise ParamsError(f"params.yaml, {place}.{unknown[0]}", found="no examples of it", expected=expected, fix=fix)


def fingerprint(output: Path) -> list[str]:
    """What runs before every stage: returns the stages whose code changed, their fingerprints written.

    Checks params.yaml and the pinned sources, exposes results that were changed silently, and removes those that
    say of a service what is no longer so.
    """
    from components.ingest import check_pins

    check_params()
    for lock in PINS.values():
        check_pins(lock)
    expose_silent_changes(output.parent)
    _remove_what_the_registry_lost()
    _tidy_collections(output.parent)
    rooms = {name.partition("@")[0]: room for name, room in ROOMS.items()}
    return write_fingerprints(output, rooms, CODE_ROOT)


def _tidy_collections(data: Path) -> None:
    """Make the folders of all keys of a stage, and remove from them the results of keys that params.yaml lacks."""
    known = set(stages(params.load()))
    for name in COLLECTIONS:
        (data / name).mkdir(parents=True, exist_ok=True)
    for base in (name for name in ROOMS if name.endswith("@")):
        for folder in (data / base.removesuffix("@")).glob("*"):
            if base + folder.name not in known:
                files.remove(folder)


def _remove_what_the_registry_lost() -> None:
    for words in _commands_of_graph():
        order = _order(_parser(words[0]).parse_args(words))
        exists = all(path.exists() for path in (*order.inputs.values(), order.output) if path)
        if order.stage.is_current and order.output and exists and not is_current(order):
            print(f"{order.stage.name}: the registry is not as {order.output} says; it will run", file=sys.stderr)
            files.remove(order.output)


def _commands_of_graph() -> Iterator[list[str]]:
    """The words of each own command in dvc.yaml, from the stage's name on; none where there is no graph."""
    path = Path("dvc.yaml")
    blocks = params.load(path)["stages"].values() if path.exists() else ()
    commands = (str(block.get("cmd", "")).split() for block in blocks)
    yield from (words[3:] for words in commands if words[:3] == ["python", "-m", "components"] and _is_stage(words[3]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stage that the arguments name; returns the exit code of ``components.core.errors``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser(words[0] if words else "").parse_args(words)
        if options.stage == FINGERPRINT:
            _tell_changes(fingerprint(options.output))
        else:
            _run(_order(options))
    except PedigreeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _run(order: Order) -> None:
    prepared = _attest(order) if order.stage.name == "register" else None
    execute(order, observe=partial(_open_live_runs, order.stage.name))
    if prepared:
        files.remove(prepared)  # the version has it now
        _share_files(order)


def _attest(order: Order) -> Path:
    """Prepare what the version says of its origin: the stage itself, behind its walls, cannot see all that."""
    from components.core.keys import believe, load_key
    from components.provenance import attest, exposure, lessons
    from components.provenance.place import place_of

    key, name = load_key(), str(order.config().model_dump()["name"])
    version = attest.Order(name, order.inputs, DATA, Path(), CODE_ROOT)
    believe(key.public_key())
    index = exposure.index_trainings(exposure.INDEX, DATA, version.ends["model"], _first_steps)
    index += lessons.index_finetunings(exposure.INDEX, DATA, version.ends, _first_steps_of_examples)
    return attest.attest(version, key, index, place_of(version.digest))


def _share_files(order: Order) -> None:
    """Let the version and the workspace share their bytes; behind its walls a stage may not link what it only reads."""
    from components.registry import Contents, share_files

    share_files(str(order.config().model_dump()["name"]), Contents(**order.inputs))


def _first_steps(values: Mapping[str, Any], tokens: Path, checks: Path, model: Path) -> Any:
    from components.train.config import TrainConfig
    from components.train.exposure import first_steps

    return first_steps(params.parse(values, TrainConfig, "the record of a training"), tokens, checks, model)


def _first_steps_of_examples(values: Mapping[str, Any], folders: Mapping[str, Path]) -> Mapping[str, int]:
    from components.train.config import FinetuneConfig
    from components.train.exposure import first_steps_of_examples

    return first_steps_of_examples(params.parse(values, FinetuneConfig, "the record of a fine-tuning"), **folders)


def _order(options: argparse.Namespace) -> Order:
    chosen = stage(options.stage)
    inputs = {name: getattr(options, name) for name in chosen.inputs}
    return Order(chosen, _room(chosen.name), inputs, options.output)


class _LiveRuns:
    """Several LiveRuns as one."""

    def __init__(self, *runs: LiveRun) -> None:
        self._runs = runs

    def __call__(self, step: int, values: Mapping[str, float], /) -> None:
        for run in self._runs:
            run(step, values)

    def close(self, *, succeeded: bool) -> None:
        for run in self._runs:
            run.close(succeeded=succeeded)


def _open_live_runs(stage_name: str, execution: str, values: Mapping[str, Any]) -> LiveRun:
    from components.registry import open_live_run
    from components.train.times import Times

    return _LiveRuns(Times(stage_name, execution), open_live_run(execution, values))


def _tell_changes(changed: list[str]) -> None:
    text = f"the code of {', '.join(changed)} changed" if changed else "no stage's code changed"
    print(f"fingerprint: {text}", file=sys.stderr)


def _parser(name: str) -> argparse.ArgumentParser:
    """The arguments of stage ``name``; only its room is imported, since every stage passes through here."""
    is_stage = _is_stage(name)
    parser = argparse.ArgumentParser(
        prog=f"python -m components {name}" if is_stage else "python -m components",
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    known = [name] if is_stage else list(ROOMS)
    parser.add_argument("stage", choices=[FINGERPRINT, *known], metavar="STAGE", help=", ".join(ROOMS))
    for argument in stage(name).inputs if is_stage else ():
        parser.add_argument(f"--{argument}", type=Path, required=True, help=f"path of the input `{argument}`")
    parser.add_argument("--output", type=Path, required=name == FINGERPRINT, help="folder that gets the result")
    return parser


if __name__ == "__main__":
    sys.exit(main())
