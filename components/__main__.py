"""Run one stage by hand: ``python -m components STAGE --INPUT PATH... --output PATH``.

In: the name of a stage and the paths of its artifacts, as dvc.yaml writes them. Out: the output folder, whole,
or one clear sentence and an exit code. In between: the values come from params.yaml.

This module is where rooms meet: it hands the registry's live run to the trainer and checks what no room can.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    from components.core import files, params
    from components.core.child import find_stage
    from components.core.errors import PedigreeError
    from components.core.execute import CODE_ROOT, Order, execute, is_current
    from components.core.fingerprints import write_fingerprints
    from components.core.seals import expose_silent_changes
    from components.core.stage import LiveRun, Stage
except ModuleNotFoundError as missing:  # `dvc repro` with another `python` first on the PATH
    if str(missing.name).startswith("components"):
        raise
    sys.exit(f"error: {sys.executable} has no {missing.name}; do `. .venv/bin/activate` first (made by `make install`)")

# Every stage in the order of the chain, and the room it lives in.
STAGES = {
    "ingest": "ingest",
    "validate@documents": "validate",
    "preprocess": "preprocess",
    "validate@corpus": "validate",
    "tokenizer": "tokenizer",
    "pack": "pack",
    "validate@tokens": "validate",
    "train": "train",
    "evaluate": "evaluate",
    "register": "registry",
    "promote": "registry",
}
FINGERPRINT = "fingerprint"
SOURCES_LOCK, DATA = Path("sources.lock.json"), Path("data")


def stage(name: str) -> Stage:
    """The stage called ``name``."""
    return find_stage(STAGES[name], name)


def check_params() -> None:
    """Check every section of params.yaml at once. Raises ParamsError."""
    params.check_all(params.load(), map(stage, STAGES))


def fingerprint(output: Path) -> list[str]:
    """What runs before every stage: returns the stages whose code changed, their fingerprints written.

    Checks params.yaml and the pinned sources, exposes results that were changed silently, and removes those that
    say of a service what is no longer so.
    """
    from components.ingest import check_pins

    check_params()
    check_pins(SOURCES_LOCK)
    expose_silent_changes(output.parent)
    _remove_what_the_registry_lost()
    rooms = {name.partition("@")[0]: room for name, room in STAGES.items()}
    return write_fingerprints(output, rooms, CODE_ROOT)


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
    yield from (words[3:] for words in commands if words[:3] == ["python", "-m", "components"] and words[3] in STAGES)


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
    execute(order, observe=_open_live_run)
    if prepared:
        files.remove(prepared)  # the version has it now
        _share_files(order)


def _attest(order: Order) -> Path:
    """Prepare what the version says of its origin: the stage itself, behind its walls, cannot see all that."""
    from components.core.keys import believe, load_key
    from components.provenance import attest, exposure
    from components.provenance.place import place_of

    key, name = load_key(), str(order.config().model_dump()["name"])
    version = attest.Order(name, order.inputs, DATA, Path(), CODE_ROOT)
    believe(key.public_key())
    index = exposure.index_trainings(exposure.INDEX, DATA, version.ends["model"], _first_steps)
    return attest.attest(version, key, index, place_of(version.digest))


def _share_files(order: Order) -> None:
    """Let the version and the workspace share their bytes; behind its walls a stage may not link what it only reads."""
    from components.registry import Contents, share_files

    share_files(str(order.config().model_dump()["name"]), Contents(**order.inputs))


def _first_steps(values: Mapping[str, Any], tokens: Path, checks: Path, model: Path) -> Any:
    from components.train.config import TrainConfig
    from components.train.exposure import first_steps

    return first_steps(params.parse(values, TrainConfig, "the record of a training"), tokens, checks, model)


def _order(options: argparse.Namespace) -> Order:
    chosen = stage(options.stage)
    inputs = {name: getattr(options, name) for name in chosen.inputs}
    return Order(chosen, STAGES[chosen.name], inputs, options.output)


def _open_live_run(execution: str, values: Mapping[str, Any]) -> LiveRun:
    from components.registry import open_live_run

    live: LiveRun = open_live_run(execution, values)
    return live


def _tell_changes(changed: list[str]) -> None:
    text = f"the code of {', '.join(changed)} changed" if changed else "no stage's code changed"
    print(f"fingerprint: {text}", file=sys.stderr)


def _parser(name: str) -> argparse.ArgumentParser:
    """The arguments of stage ``name``; only its room is imported, since every stage passes through here."""
    parser = argparse.ArgumentParser(
        prog=f"python -m components {name}" if name in STAGES else "python -m components",
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("stage", choices=[FINGERPRINT, *STAGES], metavar="STAGE", help=", ".join(STAGES))
    for argument in stage(name).inputs if name in STAGES else ():
        parser.add_argument(f"--{argument}", type=Path, required=True, help=f"path of the input `{argument}`")
    parser.add_argument("--output", type=Path, required=name == FINGERPRINT, help="folder that gets the result")
    return parser


if __name__ == "__main__":
    sys.exit(main())
