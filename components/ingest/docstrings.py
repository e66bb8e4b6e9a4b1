"""Documentation out of Python source code, read by ``ast`` and never run.

In: the modules of a package as bytes. Out: one item for each docstring of a module, a class or a function, in
the order of the source. In between: positions are unique; a module that cannot be parsed is an item too.
"""

from __future__ import annotations

import ast
import gc
import inspect
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from components.ingest.items import TOO_SHORT, Item

_NAMED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_KINDS = dict(zip((ast.Module, *_NAMED), ("module", "class", "function", "function"), strict=True))
# The fields of statements that hold statements.
_BLOCKS = {"body", "handlers", "orelse", "finalbody", "cases"}


def read_package(modules: Mapping[str, bytes], min_characters: int) -> Iterator[Item]:
    """The docstrings of all modules, given by path such as ``numpy/linalg/_linalg.py``."""
    for path, source in modules.items():
        yield from read_module(path, source, min_characters)


def read_module(path: str, source: bytes, min_characters: int) -> Iterator[Item]:
    """The docstrings of one module, cleaned of their indentation (PEP 257, `inspect.cleandoc`).

    Positions are ``path`` for the module and ``path#Class.method`` inside it; a name that is defined again gets
    ``~2``, ``~3``, …. Texts under ``min_characters`` characters are rejected as too_short.
    """
    try:
        with warnings.catch_warnings(), _without_collector():
            warnings.simplefilter("ignore")  # an invalid escape sequence is its author's affair
            found = list(_definitions(ast.parse(source), ""))
    except (SyntaxError, ValueError, RecursionError) as error:
        shown = source.decode("utf-8", "backslashreplace")
        yield Item(path, shown, reason="unparsable", detail=f"{type(error).__name__}: {error}")
        return
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    seen: Counter[str] = Counter()
    for name, kind, text in found:
        seen[name] += 1
        position = f"{path}#{name}" if name else path
        position += f"~{seen[name]}" if seen[name] > 1 else ""
        item = Item(position, text, {"kind": kind, "name": f"{module}.{name}".rstrip(".")})
        yield _judge_length(item, min_characters)


def _definitions(node: ast.AST, name: str) -> Iterator[tuple[str, str, str]]:
    """The (qualified name, kind, docstring) of ``node``, a module or statement, and of all that is defined in it."""
    if isinstance(node, (ast.Module, *_NAMED)) and (text := ast.get_docstring(node, clean=False)) is not None:
        yield name, _KINDS[type(node)], inspect.cleandoc(text)
    for block in node._fields:
        if block in _BLOCKS:  # nothing is ever defined inside an expression
            for child in getattr(node, block):
                inner = f"{name}.{child.name}".lstrip(".") if isinstance(child, _NAMED) else name
                yield from _definitions(child, inner)


@contextmanager
def _without_collector() -> Iterator[None]:
    """No garbage collection inside: a syntax tree holds no cycles, and looking for some took a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _judge_length(item: Item, min_characters: int) -> Item:
    if len(item.text) >= min_characters:
        return item
    detail = f"{len(item.text)} characters, at least {min_characters}"
    return Item(item.position, item.text, item.meta, TOO_SHORT, detail)
