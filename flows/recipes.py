"""`pedigree recipe`: ready sets of values in infra/recipes, one of which is params.yaml.

In: the name of a recipe. Out: params.yaml and the locks of sources as that recipe has them.
In between: params.yaml is replaced only when it is, byte for byte, one of the recipes, so no edit is ever lost. Results
are not touched: DVC keeps those of every recipe and brings them back. The pins of a recipe are kept while another
is in use.
"""

from __future__ import annotations

import re
from pathlib import Path

from components.core.errors import PedigreeError, WorkspaceError
from components.core.files import write_whole
from components.core.lock import STATE, hold_workspace
from components.core.params import PARAMS

FOLDER = Path("infra/recipes")
_KEPT = STATE / "recipes"


def list_recipes() -> int:
    """Print every recipe with its first line, the one in use marked; returns 0."""
    used = current()
    for path in sorted(FOLDER.glob("*.yaml")):
        mark = "*" if path.stem == used else " "
        print(f"{mark} {path.stem:12} {_first_sentence(path)}")
    if used is None:
        print("params.yaml is none of them; `pedigree recipe --save NAME` keeps it as one.")
    return 0


def use(name: str) -> int:
    """Make a recipe params.yaml; returns 0. Raises PedigreeError when edits would be lost."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(recipe.stem for recipe in FOLDER.glob("*.yaml")))
        raise PedigreeError(str(FOLDER), found=f"no recipe {name!r}", expected=known, fix="choose one of them")
    with hold_workspace(f"pedigree recipe {name}"):
        used = current()
        if used is None and PARAMS.exists():
            raise _edited(name)
        _exchange_pins(used, name)
        write_whole(PARAMS, path.read_bytes())
        _pin()
    print(f"params.yaml is the recipe {name}; `pedigree run` builds it, and what it has built before comes back.")
    return 0


def save(name: str) -> int:
    """Keep params.yaml as a recipe of that name; returns 0. Raises PedigreeError when it would replace another."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise PedigreeError("--save", found=repr(name), expected="lower case, digits, dashes", fix="name it so")
    path = FOLDER / f"{name}.yaml"
    if path.exists() and path.read_bytes() != PARAMS.read_bytes():
        raise PedigreeError(str(path), found="another recipe", expected="a new name", fix="choose another name")
    write_whole(path, PARAMS.read_bytes())
    print(f"params.yaml is kept as {path}.")
    return 0


def current() -> str | None:
    """The recipe that params.yaml is, byte for byte, or None."""
    now = PARAMS.read_bytes() if PARAMS.exists() else None
    return next((path.stem for path in sorted(FOLDER.glob("*.yaml")) if path.read_bytes() == now), None)


def _exchange_pins(used: str | None, name: str) -> None:
    """Keep the pins of the recipe in use; bring back those of the other, or leave none."""
    from components.__main__ import PINS

    if used == name:
        return
    for lock in PINS.values():
        if used and lock.exists():
            write_whole(_KEPT / f"{used}.{lock}", lock.read_bytes())
        lock.unlink(missing_ok=True)
        kept = _KEPT / f"{name}.{lock}"
        if kept.exists():
            write_whole(lock, kept.read_bytes())


def _pin() -> None:
    from flows.refresh import pin_when_absent
    from flows.withdrawn import embed

    embed()
    if lines := pin_when_absent():
        print("The sources were pinned:", *lines, sep="\n")


def _first_sentence(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        comments = [line.lstrip("# ").strip() for line in file if line.startswith("#")]
    return next((line for line in comments if line.startswith("This is")), comments[0] if comments else "")


def _edited(name: str) -> WorkspaceError:
    return WorkspaceError(
        "params.yaml", found="values of your own", expected="a recipe, so that nothing is lost by replacing it",
        fix=f"`pedigree recipe --save NAME` keeps them as a recipe, then `pedigree recipe {name}`",
    )  # fmt: skip
