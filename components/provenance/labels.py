"""Short facts about the origin of a version, by which people search and compare.

In: the folder ``provenance`` of a version. Out: words by their names. In between: digests are those of the files
themselves; commit and state of the code are what was signed.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from components.core.files import sha256_file
from components.core.keys import PublicKey
from components.provenance.evidence import CODE, LOCKS, PARAMS, RECIPES
from components.provenance.verify import read_signed

OWN_VALUES = "none, values of its own"


def labels(provenance: Path, keys: Mapping[str, PublicKey]) -> dict[str, str]:
    """Recipe, commit, whether there were uncommitted changes, and the digest of each lock. Raises InputError."""
    statement = read_signed(provenance.parent, keys)
    code = statement.predicate.buildDefinition.resolvedDependencies[0]
    locks = {name: sha256_file(provenance / name) for name in LOCKS if (provenance / name).is_file()}
    return {
        "recipe": recipe(provenance), "commit": code.digest.get("gitCommit", "no git checkout"),
        "dirty": str(code.annotations["dirty"]).lower(), **locks,
    }  # fmt: skip


def recipe(provenance: Path) -> str:
    """The recipe among those in the version's code that its values are, byte for byte."""
    values = (provenance / PARAMS).read_bytes() if (provenance / PARAMS).is_file() else b""
    with tarfile.open(provenance / CODE) as code:
        for member in code:
            is_recipe = member.isfile() and PurePosixPath(member.name).is_relative_to(RECIPES)
            content = code.extractfile(member) if is_recipe else None
            if content and content.read() == values:
                return PurePosixPath(member.name).stem
    return OWN_VALUES
