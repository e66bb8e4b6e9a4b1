"""Licences rolled up: what a model inherits from everything that it was trained on, and what does not go together.

In: the licences of the sources, as SPDX expressions or words. Out: obligations, and findings about combinations.
In between: an expression is taken apart at AND, OR and WITH; of alternatives (OR) the mildest counts. A table of the
common licences says what each asks; a licence that is not in it is never taken for a free one.

Covered: what the licence texts ask of whoever redistributes. Not covered: whether a model is a derived work of its
training texts, which courts decide; the findings say what to look at if it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Kind = Literal["public domain", "permissive", "attribution", "share-alike", "copyleft", "restricted", "unknown"]
# From the mildest to the strictest: the roll-up of a corpus is the strictest that stands in it.
ORDER: tuple[Kind, ...] = (
    "public domain", "permissive", "attribution", "share-alike", "copyleft", "unknown", "restricted",
)  # fmt: skip
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("cc0-1.0", "unlicense", "0bsd", "public-domain", "pddl-1.0"), "public domain"),
    **dict.fromkeys(("mit", "bsd-2-clause", "bsd-3-clause", "apache-2.0", "isc", "psf-2.0", "python-2.0", "zlib",
                     "hpnd", "matplotlib", "ncsa", "bsl-1.0", "mit-0", "bsd-3-clause-open-mpi"), "permissive"),
    **dict.fromkeys(("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "odc-by-1.0"), "attribution"),
    **dict.fromkeys(("cc-by-sa-2.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "odbl-1.0", "gfdl-1.3-or-later",
                     "gfdl-1.3-only", "gfdl-1.2-or-later"), "share-alike"),
    **dict.fromkeys(("gpl-2.0-only", "gpl-2.0-or-later", "gpl-3.0-only", "gpl-3.0-or-later", "lgpl-2.1-only",
                     "lgpl-2.1-or-later", "lgpl-3.0-only", "lgpl-3.0-or-later", "agpl-3.0-only", "agpl-3.0-or-later",
                     "mpl-2.0", "epl-2.0"), "copyleft"),
    **dict.fromkeys(("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0", "cc-by-nc-3.0",
                     "cc-by-nc-sa-3.0", "cc-by-nd-3.0"), "restricted"),
}  # fmt: skip
ASKS: dict[Kind, str] = {
    "public domain": "nothing",
    "permissive": "keep the copyright notice and the licence text",
    "attribution": "name the authors, link the licence, say what was changed",
    "share-alike": "name the authors, and give what is derived under the same licence",
    "copyleft": "give what is derived under the same licence, with its source",
    "restricted": "no commercial use, or no changed versions: read the licence before any use",
    "unknown": "not known: find out before you publish",
}
# Pairs that cannot both be kept in one derived work, with the reason.
_CLASHES: tuple[tuple[str, str, str], ...] = (
    (r"gpl-2\.0-only", r"gpl-3\.0|agpl-3\.0|lgpl-3\.0", "GPL 2 only and version 3 exclude each other"),
    (r"gpl-2\.0-only", r"apache-2\.0", "the patent clauses of Apache 2.0 add to GPL 2 only, which allows no addition"),
    (r"gfdl", r"cc-by-sa|^a?l?gpl", "GFDL and another copyleft each want the whole under their own terms"),
    (r"cc-by-sa-(2|3)", r"^a?gpl", "CC BY-SA before 4.0 and the GPL each want the whole under their own terms"),
    (r"cc-by-nc", r"^a?gpl|cc-by-sa-|odbl|gfdl", "non-commercial terms add to a licence that allows no addition"),
    (r"-nd-", r".", "no changed versions may be given on, and a mixture is one"),
)


@dataclass(frozen=True)
class Finding:
    """Two licences that do not go together, or one that nobody can judge."""

    licences: tuple[str, ...]
    reason: str


def kind_of(expression: str) -> Kind:
    """What a licence asks for; of alternatives the mildest, of joined ones the strictest, ``unknown`` otherwise."""
    alternatives = re.split(r"\s+OR\s+", expression.strip("() "), flags=re.IGNORECASE)
    kinds = [max((_kind(part) for part in _joined(text)), key=ORDER.index) for text in alternatives]
    return min(kinds, key=ORDER.index)


def roll_up(expressions: Iterable[str]) -> Kind:
    """What all of them together ask for: the strictest. A corpus without texts asks nothing."""
    return max((kind_of(text) for text in expressions), key=ORDER.index, default="public domain")


def incompatibilities(expressions: Iterable[str]) -> list[Finding]:
    """Pairs that cannot both be kept in one work, then the licences that the table does not know."""
    names = sorted(set(expressions))
    found = [finding for pair in combinations(names, 2) for finding in _clashes(*pair)]
    unknown = [Finding((name,), "not in the table: its terms are not known") for name in names
               if kind_of(name) == "unknown"]  # fmt: skip
    return [*found, *unknown]


def _clashes(first: str, second: str) -> Iterator[Finding]:
    for one, other, reason in _CLASHES:
        if any(_all_match(one, a) and _all_match(other, b) for a, b in ((first, second), (second, first))):
            yield Finding((first, second), reason)
            return


def _all_match(pattern: str, expression: str) -> bool:
    """Whether every alternative of an expression holds a licence that matches: else there is a way out."""
    alternatives = re.split(r"\s+OR\s+", expression.strip("() "), flags=re.IGNORECASE)
    return all(any(re.search(pattern, part) for part in _joined(text)) for text in alternatives)


def _joined(text: str) -> list[str]:
    parts = re.split(r"\s+AND\s+", text.strip("() "), flags=re.IGNORECASE)
    return [re.split(r"\s+WITH\s+", part.strip("() "), flags=re.IGNORECASE)[0].lower() for part in parts]


def _kind(name: str) -> Kind:
    return _KINDS.get(name, "unknown")
