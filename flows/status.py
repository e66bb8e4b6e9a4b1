"""`pedigree status`: which recipe, what is current, which model is champion, how much lies on the disk.

In: the workspace. Out: a page of text. In between: nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from components.core.lock import STATE, holder
from flows import recipes
from flows.generate import registered_aliases
from flows.plan import Plan, make_plan

_FOLDERS = (Path("data"), Path(".dvc/cache"), STATE)


def status() -> int:
    """Print the state of the workspace; returns 0. Raises PedigreeError."""
    held = holder()
    print(f"recipe    {recipes.current() or 'values of your own (`pedigree recipe --save NAME` keeps them)'}")
    print(f"driver    {held['command']} (process {held['pid']})" if held else "driver    none at work")
    stages = ["being driven: ask again when it is done"] if held else _stages(make_plan())
    print(*_block("stages", stages), *_block("models", registered_aliases()), sep="\n")
    print(*_block("disk", (f"{_in_words(_size(folder)):>9}  {folder}" for folder in _FOLDERS)), sep="\n")
    return 0


def _stages(plan: Plan) -> Iterator[str]:
    yield f"{len(plan.nodes) - len(plan.to_run)} of {len(plan.nodes)} up to date"
    if plan.to_run:
        yield f"to do: {', '.join(plan.to_run)} (`pedigree plan` says why)"


def _block(title: str, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{title if number == 0 else '':10}{line}"


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _in_words(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"
