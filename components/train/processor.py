"""Which number type the matrix products run in on this processor.

In: what the params ask for. Out: float32 or bfloat16. In between: bfloat16 only where the processor multiplies it
itself; elsewhere it is emulated, and slower than float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from components.core.errors import ParamsError

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def resolve_compute_type(
    asked: Literal["auto", "float32", "bfloat16"], flags: set[str]
) -> Literal["float32", "bfloat16"]:
    """The type to compute in. Raises ParamsError when bfloat16 is asked for and the processor lacks it."""
    has_bfloat16 = bool(flags & _BFLOAT16_FLAGS)
    if asked == "bfloat16" and not has_bfloat16:
        raise ParamsError(
            "params.yaml, train.compute_type",
            found="bfloat16, on a processor without it",
            expected=f"one with {' or '.join(sorted(_BFLOAT16_FLAGS))}",
            fix="write auto, which takes float32 here",
        )
    return "bfloat16" if has_bfloat16 and asked != "float32" else "float32"


def processor_flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the first processor can do, by the kernel's names; nothing where the kernel does not tell."""
    lines = path.read_text().splitlines() if path.exists() else []
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
