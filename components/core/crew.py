"""Who does a stage's work, as plain values: processes of this machine, or a Dask cluster.

In: environment variables. Out: a Crew, which a stage hands to ``components.core.parallel``. In between: how many
workers there are, and where, is execution and not identity; it never comes from params.yaml and changes no artifact.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from components.core.errors import WorkspaceError
from components.core.sandbox import Walls

COUNT_VARIABLE, SCHEDULER_VARIABLE = "PEDIGREE_WORKERS", "PEDIGREE_SCHEDULER"
_MOST = 1024


@dataclass(frozen=True)
class Station:
    """Where workers stand: behind which walls, in which environment, and which code they must be.

    ``execution`` names the run; the default is no walls and the environment of this process.
    """

    walls: Walls | None = None
    environment: Mapping[str, str] | None = None
    room: str = ""
    fingerprint: str = ""
    execution: str = ""


@dataclass(frozen=True)
class Crew:
    """How many processes, or the address of a Dask scheduler; the default does everything in one process."""

    count: int = 1
    scheduler: str = ""
    station: Station = field(default_factory=Station)

    @classmethod
    def here(cls) -> Crew:
        """What the environment asks for; all processors when it asks for nothing. Raises WorkspaceError."""
        count, cores = os.environ.get(COUNT_VARIABLE, ""), len(os.sched_getaffinity(0))
        if count and not (count.isascii() and count.isdigit() and 0 < int(count) <= _MOST):
            fix = f"set {COUNT_VARIABLE} to a number, or unset it to use all processors"
            raise WorkspaceError(COUNT_VARIABLE, found=repr(count), expected=f"a number from 1 to {_MOST}", fix=fix)
        return cls(int(count or cores), os.environ.get(SCHEDULER_VARIABLE, ""))
