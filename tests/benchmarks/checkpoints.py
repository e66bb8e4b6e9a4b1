"""How long a checkpoint takes to write and to take up again: ``python -m tests.benchmarks.checkpoints [PARAMETERS…]``.

In: numbers of parameters. Out: a line for each, the median of five. In between: a state as AdamW has it, three float32
arrays for each parameter, written with every flush and digest that a training pays for, and read back verified.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import remove
from components.train.checkpoints import read, write

SIZES = (2_000_000, 20_000_000)
_ROUNDS = 5


def main(sizes: list[int]) -> None:
    """Print seconds and MB/s of writing and of reading, wall and processor."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for size in sizes:
            state = {f"{kind}.weight": np.ones(size, np.float32) for kind in ("model", "first", "second")}
            history = [{"step": float(step), "loss": 1.0} for step in range(1000)]
            megabytes, path = 12 * size / 1e6, Path()
            for name in ("write", "resume"):
                times = []
                for _ in range(_ROUNDS):
                    if name == "write":
                        path = _timed(partial(write, Path(folder), {}, state, history), times)
                    else:
                        _timed(partial(read, path, {}), times)
                wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
                print(f"{size:>11,} parameters, {name:6}: {wall:.3f} s wall, {processor:.3f} s processor, "
                      f"{megabytes / wall:,.0f} MB/s of {megabytes:,.0f} MB")  # fmt: skip
            remove(path)


def _timed(work: Callable[[], Any], times: list[tuple[float, float]]) -> Any:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    times.append((time.perf_counter() - wall, time.process_time() - processor))
    return result


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or list(SIZES))
