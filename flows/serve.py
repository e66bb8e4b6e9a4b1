"""`pedigree serve`: answer over HTTP with registered versions; the registry's versions, as serving wants them.

In: the options of the command. Out: a server, until it is told to end. In between: serving knows no registry; what
it asks for is handed in from here, and nothing is handed in before every byte was checked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from components.core import params
from components.core.errors import RegistryError
from components.core.keys import believed_keys
from components.provenance.documents import MODEL_CARD, PAGE
from components.provenance.place import PROVENANCE
from components.provenance.verify import read_signed
from components.registry import list_versions, load
from components.serve import ServeConfig
from components.serve.applications import learned_in
from components.serve.versions import Identity, Opened
from flows.generate import model_name

KEYS_VARIABLE = "PEDIGREE_API_KEYS"


class RegistrySource:
    """The versions of one registered model."""

    def __init__(self, name: str) -> None:
        self._name = name

    def list(self) -> Sequence[Identity]:
        """All versions, newest first. Raises RegistryError."""
        versions = [version for version in list_versions(self._name) if version.is_ready]
        return [Identity(v.name, v.number, v.digest, tuple(v.aliases)) for v in versions]

    def open(self, identity: Identity) -> Opened:
        """Check a version against its digest and its signature. Raises RegistryError."""
        contents = load(self._name, str(identity.number))
        if contents.digest != identity.digest:
            raise RegistryError(identity.model, found=f"digest {contents.digest}", expected=identity.digest,
                                fix="look at the registry: the version has been replaced")  # fmt: skip
        folder = contents.model.parent
        statement = read_signed(folder, believed_keys())
        return Opened(
            contents.model, contents.tokenizer, (folder / PROVENANCE / MODEL_CARD).read_text(encoding="utf-8"),
            (folder / PROVENANCE / PAGE).read_bytes(), statement.model_dump(mode="json", by_alias=True),
            learned_in(folder / "finetuned"),
        )  # fmt: skip


def serve(options: dict[str, Any]) -> int:
    """Serve until told to end; returns 0. Raises PedigreeError."""
    keys = tuple(filter(None, os.environ.get(KEYS_VARIABLE, "").split(",")))
    config = params.parse({**options, "keys": keys}, ServeConfig, "the command line")
    from components.serve.server import serve as run

    return run(config, RegistrySource(model_name()))
