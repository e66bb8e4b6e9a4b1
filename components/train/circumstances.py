"""Where and how a run happens, which never changes its result: as the environment says.

In: environment variables. Out: ``Circumstances``, or a refusal that names the variable.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from components.core.errors import ParamsError
from components.train.cluster import Placement, read_placement

# By this variable a user says how often checkpoints are saved; 0 is after each step.
CHECKPOINT_SECONDS = "PEDIGREE_CHECKPOINT_SECONDS"


@dataclass(frozen=True)
class Circumstances:
    """On which devices, and how often checkpoints are saved."""

    placement: Placement
    checkpoint_seconds: float


def read_circumstances() -> Circumstances:
    """Those of this process. Raises ParamsError or WorkspaceError."""
    return Circumstances(read_placement(os.environ), _checkpoint_seconds())


def _checkpoint_seconds() -> float:
    told = os.environ.get(CHECKPOINT_SECONDS, "60")
    try:
        seconds = float(told)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        fix, expected = f"export {CHECKPOINT_SECONDS}=60", "seconds between checkpoints, 0 or more"
        raise ParamsError(f"the variable {CHECKPOINT_SECONDS}", found=told, expected=expected, fix=fix)
    return seconds
