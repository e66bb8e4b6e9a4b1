"""The parts of a docstring in numpydoc's layout, as far as applications ask for them.

In: a text. Out: its first paragraph, the rest, its sections, the names in its lists. In between: a section is a line, a
line of dashes under it, and all that follows up to the next one; a text without sections is one without lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SECTION = re.compile(r"^(?P<title>[A-Z][A-Za-z ]+)\n-{3,} *\n", re.MULTILINE)
_PARAMETER = re.compile(r"^\*{0,2}([A-Za-z_][\w, *]*?) *(?::.*)?$")
_ROLE = re.compile(r":[a-z]+:`~?\.?([^`<]*?)(?: *<[^>]*>)?`")
_NAME = re.compile(r"^[A-Za-z_]\w*$")
_SUMMARY_CHARACTERS = (15, 300)


def summary(text: str) -> str | None:
    """The first paragraph in one line; None where it is a title, a list, or neither short nor long enough."""
    paragraph = text.strip().partition("\n\n")[0]
    lines = paragraph.splitlines()
    if len(lines) > 1 and re.fullmatch(r"[=\-~*#^]{3,}", lines[1].strip()):
        return None
    line = " ".join(" ".join(lines).split())
    least, most = _SUMMARY_CHARACTERS
    return line if least <= len(line) <= most and line[0].isalpha() else None


def body(text: str) -> str:
    """What follows the first paragraph."""
    return text.strip().partition("\n\n")[2].strip()


def sections(text: str) -> dict[str, str]:
    """The text under each title; of two sections of one title the first."""
    marks, end, found = list(_SECTION.finditer(text)), len(text), dict[str, str]()
    for mark in reversed(marks):
        found[mark["title"]] = text[mark.end() : end].strip()
        end = mark.start()
    return found


def parameters(text: str) -> list[str]:
    """The names of the parameters, in their order."""
    lines = [line for line in sections(text).get("Parameters", "").splitlines() if line and not line[0].isspace()]
    found = [match[1] for line in lines if (match := _PARAMETER.match(line))]
    return [name.strip(" *") for names in found for name in names.split(",")]


def see_also(text: str) -> list[str]:
    """The names under "See Also" without their modules, each once, in their order."""
    return list(dict.fromkeys(_names(sections(text).get("See Also", ""))))


def short(name: str) -> str:
    """A qualified name without its module or class."""
    return name.rpartition(".")[2]


def _names(listed: str) -> Iterator[str]:
    for line in listed.splitlines():
        if line and not line[0].isspace():
            plain = _ROLE.sub(r"\1", line).partition(" : ")[0].replace("`", "")
            names = (short(part.strip().rstrip(":")) for part in plain.split(","))
            yield from (name for name in names if _NAME.match(name))
