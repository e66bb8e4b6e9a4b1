"""Where the provenance of a version lies: beside its parts, and, before it is registered, below ``.pedigree``.

In: the digest of a version, or its folder. Out: paths. In between: nothing is read; importing this is cheap.
"""

from __future__ import annotations

import os
from pathlib import Path

from components.core.errors import InputError
from components.core.lock import STATE, WORKSPACE_VARIABLE

FOLDER = STATE / "provenance"
# Of a version; the last two are folders of several artifacts each, and may be missing.
PARTS = ("model", "tokenizer", "evaluation", "finetuned", "assessments")
PROVENANCE, ATTESTATION = "provenance", "attestation.json"


def place_of(digest: str) -> Path:
    """Where the provenance of a version is prepared for the stage that registers it."""
    return Path(os.environ.get(WORKSPACE_VARIABLE) or ".").resolve() / FOLDER / digest


def find_prepared(digest: str) -> Path:
    """The folder ``provenance`` that was prepared for a version. Raises InputError when there is none."""
    folder = place_of(digest) / PROVENANCE
    if not is_attested(folder.parent):
        fix = "register through `pedigree run`, `dvc repro` or `python -m components register`"
        raise InputError(str(folder), found="no attestation", expected="that of the version to register", fix=fix)
    return folder


def is_attested(version: Path) -> bool:
    """Whether an attestation stands in the folder of a version; quick, so it is not looked at."""
    return (version / PROVENANCE / ATTESTATION).is_file()
