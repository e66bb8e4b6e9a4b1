"""Files that params.yaml names beside the chain's own artifacts: an evaluation set, a reference profile.

In: a path below the workspace and a digest. Out: the bytes. In between: the digest is part of the params, so another
file is another value and re-runs what reads it; a file that is not what was pinned is refused, with what to write.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from components.core.errors import InputError
from components.core.files import sha256_bytes
from components.core.lock import WORKSPACE_VARIABLE
from components.core.stage import Config


class PinnedFile(Config):
    """A file by path and digest."""

    path: str = Field(description="of the file, below the workspace", min_length=1)
    sha256: str = Field(description="of its bytes", pattern="^[0-9a-f]{64}$")

    def read(self) -> bytes:
        """Its bytes. Raises InputError when there is no such file or it is another one."""
        path = Path(os.environ.get(WORKSPACE_VARIABLE, "")) / self.path
        if not path.is_file():
            raise InputError(self.path, found="no such file", expected=f"sha256 {self.sha256}", fix="bring it back")
        data = path.read_bytes()
        if (found := sha256_bytes(data)) != self.sha256:
            fix = f"bring the pinned file back, or write sha256: {found} in params.yaml"
            raise InputError(self.path, found=f"sha256 {found}", expected=f"sha256 {self.sha256}", fix=fix)
        return data


def pinned_files(config: Config, **_inputs: Path) -> Iterator[Path]:
    """The files that a config pins, wherever in it: what a stage reads beside its inputs (``Stage.reads``)."""
    return _pinned_in(config)


def _pinned_in(value: Any) -> Iterator[Path]:
    if isinstance(value, PinnedFile):
        yield Path(value.path)
    elif isinstance(value, Config | tuple):
        for part in value if isinstance(value, tuple) else vars(value).values():
            yield from _pinned_in(part)
