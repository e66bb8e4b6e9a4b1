"""`pedigree promote`: judge the model in the workspace against the champion now.

In: a chain that is up to date. Out: the verdict on the screen, and the alias `champion` where it says so.
In between: the stages `register` and `promote` of the graph do the work, through DVC like every stage.
"""

from __future__ import annotations

from components.core.errors import PedigreeError
from components.core.lock import hold_workspace
from flows.plan import make_plan
from flows.run import run

_OWN = ("register", "promote")


def promote() -> int:
    """Register and judge; returns 0. Raises PedigreeError when the model is not built yet."""
    with hold_workspace("pedigree promote"):
        plan = make_plan(_OWN)
        if behind := [name for name in plan.to_run if name not in (*_OWN, "fingerprint")]:
            fix = "`pedigree run` builds it, and promotes it where it is better"
            raise PedigreeError("the workspace", found=f"{behind[0]} is to do first", expected="a model", fix=fix)
        return run(["promote"])
