"""Licences rolled up: what a model inherits from everything that it was trained on, and what does not go together.

In: the licences of the sources, as SPDX expressions or as package indexes name them. Out: obligations, and findings
about combinations. In between: ``license-expression`` reads the expressions and ships ScanCode's index of 2,500
licences, each with a category; of alternatives (OR) the mildest counts. What the index does not know is never taken
for a free licence.

Covered: what the licence texts ask of whoever redistributes. Not covered: whether a model is a derived work of its
training texts, which courts decide; the findings say what to look at if it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Any, Literal

from license_expression import (
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_license_index,
)

Kind = Literal["public domain", "permissive", "attribution", "share-alike", "copyleft", "restricted", "unknown"]
# From the mildest to the strictest: the roll-up of a corpus is the strictest that stands in it.
ORDER: tuple[Kind, ...] = (
    "public domain", "permissive", "attribution", "share-alike", "copyleft", "unknown", "restricted",
)  # fmt: skip
_KINDS_OF_CATEGORIES: dict[str, Kind] = {
    "Public Domain": "public domain", "Permissive": "permissive", "Copyleft": "copyleft",
    "Copyleft Limited": "copyleft", "Commercial": "restricted", "Free Restricted": "restricted",
    "Proprietary Free": "restricted", "Source-available": "restricted",
}  # fmt: skip
# Licences of texts and data, which the index has among those of code.
_KINDS_OF_TEXTS: tuple[tuple[str, Kind], ...] = (
    (r"cc-by-\d|odc-by-|cdla-permissive", "attribution"),
    (r"cc-by-sa-|odbl-|gfdl-|cdla-sharing", "share-alike"),
)
# What PyPI's classifiers and others call a licence, by a licence that asks the same; a family by its usual member.
_CALLED = {
    "Academic Free License (AFL)": "AFL-3.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Artistic License": "Artistic-2.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License (GPL)": "GPL-1.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-2.0-or-later",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Public Domain": "CC0-1.0",
    "public-domain": "CC0-1.0",
    "Python License (CNRI Python License)": "CNRI-Python",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "zlib/libpng License": "Zlib",
    "Zope Public License": "ZPL-2.1",
}
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
    kinds = [max(map(_kind, joined), key=ORDER.index) for joined in _alternatives(expression)]
    return min(kinds, key=ORDER.index)


def roll_up(expressions: Iterable[str]) -> Kind:
    """What all of them together ask for: the strictest. A corpus without texts asks nothing."""
    return max((kind_of(text) for text in expressions), key=ORDER.index, default="public domain")


def incompatibilities(expressions: Iterable[str]) -> list[Finding]:
    """Pairs that cannot both be kept in one work, then the licences that nobody here knows."""
    names = sorted(set(expressions))
    found = [finding for pair in combinations(names, 2) for finding in _clashes(*pair)]
    unknown = [Finding((name,), "not in the index of licences: its terms are not known") for name in names
               if kind_of(name) == "unknown"]  # fmt: skip
    return [*found, *unknown]


def _clashes(first: str, second: str) -> Iterator[Finding]:
    for one, other, reason in _CLASHES:
        if any(_all_match(one, a) and _all_match(other, b) for a, b in ((first, second), (second, first))):
            yield Finding((first, second), reason)
            return


def _all_match(pattern: str, expression: str) -> bool:
    """Whether every alternative of an expression holds a licence that matches: else there is a way out."""
    return all(any(re.search(pattern, name) for name in joined) for joined in _alternatives(expression))


def _kind(name: str) -> Kind:
    for pattern, kind in _KINDS_OF_TEXTS:
        if re.match(pattern, name):
            return kind
    return _index().get(name, "unknown")


@cache
def _alternatives(expression: str) -> tuple[tuple[str, ...], ...]:
    """What may be chosen: one of these, each several licences that hold together, by their SPDX names in lower case.

    A text that is no expression stands for itself.
    """
    try:
        parsed = _licensing().parse(expression)
    except ExpressionError:
        parsed = None
    return ((expression.lower(),),) if parsed is None else tuple(_choices(parsed))


def _choices(parsed: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(parsed, LicenseWithExceptionSymbol):
        yield (parsed.license_symbol.key.lower(),)
    elif isinstance(parsed, LicenseSymbol):
        yield (parsed.key.lower(),)
    elif isinstance(parsed, _licensing().OR):
        for part in parsed.args:
            yield from _choices(part)
    else:
        for parts in product(*map(_choices, parsed.args)):
            yield tuple(name for part in parts for name in part)


@cache
def _licensing() -> Licensing:
    names: dict[str, list[str]] = {}
    for called, name in _CALLED.items():
        names.setdefault(name.lower(), []).append(called)
    entries = [entry for entry in get_license_index() if entry["spdx_license_key"]]
    return Licensing([
        LicenseSymbol(
            entry["spdx_license_key"], is_exception=entry["is_exception"],
            aliases=(*entry["other_spdx_license_keys"], *names.get(entry["spdx_license_key"].lower(), ())),
        )
        for entry in entries
    ])  # fmt: skip


@cache
def _index() -> dict[str, Kind]:
    """What each licence asks for, by its SPDX name in lower case."""
    return {entry["spdx_license_key"].lower(): _KINDS_OF_CATEGORIES.get(entry["category"], "unknown")
            for entry in get_license_index() if entry["spdx_license_key"]}  # fmt: skip
