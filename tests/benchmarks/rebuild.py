"""How often a registered version is made again with equal bytes, every stage from the raw sources on.

    python -m tests.benchmarks.rebuild [TIMES] [WORKSPACE]

Builds the debug recipe once in a workspace of its own (or takes a built one), then runs `pedigree rebuild --from-raw`
so many times (20) and counts the equal ones. A rebuild takes as long as the chain: half a minute to two.
"""

import sys
import tempfile
import time
from pathlib import Path

from tests.worlds import Workspace, make_workspace


def main(times: int = 20, built: Path | None = None) -> None:
    """Build, rebuild, count; prints a line for each rebuild and the sum."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(built) if built else make_workspace(Path(scratch) / "workspace")
        if built is None:
            workspace.pedigree("run")
        equal, seconds = 0, []
        for number in range(1, times + 1):
            begin = time.monotonic()
            done = workspace.pedigree("rebuild", "--from-raw", check=False)
            seconds.append(time.monotonic() - begin)
            equal += done.returncode == 0
            outcome = "equal" if done.returncode == 0 else done.stdout[-500:]
            print(f"{number:3} {seconds[-1]:6.1f} s  {outcome}", flush=True)
        print(f"{equal} of {times} equal; median {sorted(seconds)[times // 2]:.0f} s")


if __name__ == "__main__":
    main(*(int(word) if word.isdigit() else Path(word) for word in sys.argv[1:]))
