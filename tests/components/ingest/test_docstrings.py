"""Docstrings out of source code: all of them, each under one name, without running anything."""

import ast
import gc
import inspect
from pathlib import Path

import networkx

from components.ingest.docstrings import read_module, read_package
from components.ingest.packages import read_modules

MODULE = b'''"""The module."""
raise SystemExit("imported")

class A:
    """A class.

        indented
    more
    """
    @property
    def x(self):
        "the getter"
    @x.setter
    def x(self, value):
        "the setter"
    async def f(self):
        """An "\\d" method."""
        def inner():
            "inside"

try:
    def g(): "first g"
except ImportError:
    def g(): "second g"
match 1:
    case 1:
        def h(): "in a match"
def silent(): return "no docstring"
'''


def test_every_docstring_has_a_position_of_its_own_and_its_text_is_cleaned() -> None:
    items = list(read_module("pkg/sub/__init__.py", MODULE, 0))
    assert {item.position.partition("#")[2]: item.text for item in items} == {
        "": "The module.",
        "A": "A class.\n\n    indented\nmore",
        "A.x": "the getter",
        "A.x~2": "the setter",
        "A.f": 'An "\\d" method.',
        "A.f.inner": "inside",
        "g": "first g",
        "g~2": "second g",
        "h": "in a match",
    }
    assert [item.meta["name"] for item in items[:2]] == ["pkg.sub", "pkg.sub.A"]
    assert [item.meta["kind"] for item in items[:3]] == ["module", "class", "function"]


def test_short_docstrings_and_unparsable_modules_are_items_with_a_reason() -> None:
    short = next(read_module("a.py", b'"""Short."""', 100))
    assert (short.reason, short.detail, short.text) == ("too_short", "6 characters, at least 100", "Short.")
    for source in (b"def f(:", b"x = '\0'", b"\xff\xfe", b"(" * 10_000):
        (item,) = read_module("a.py", source, 0)
        assert (item.position, item.reason) == ("a.py", "unparsable")
    assert gc.isenabled()


def test_nothing_is_missed_that_a_walk_over_the_whole_tree_finds() -> None:
    modules = {name: data for name, data in read_modules("networkx").items() if "/algorithms/" not in name}
    expected = [
        inspect.cleandoc(text)
        for source in modules.values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and (text := ast.get_docstring(node, clean=False)) is not None
    ]
    items = list(read_package(modules, 0))
    assert sorted(item.text for item in items) == sorted(expected)
    assert len({item.position for item in items}) == len(items) > 500


def test_a_name_leads_back_to_the_object() -> None:
    path = Path(networkx.__file__).parent / "relabel.py"
    items = {item.meta["name"]: item.text for item in read_module("networkx/relabel.py", path.read_bytes(), 0)}
    assert items["networkx.relabel.relabel_nodes"] == inspect.getdoc(inspect.unwrap(networkx.relabel_nodes))
