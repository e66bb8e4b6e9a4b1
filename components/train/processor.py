"""What kind of processor this is, and which number type its matrix products run in.

In: what the params ask for, what the kernel tells. Out: float32 or bfloat16; the kind, for the record. In between:
bfloat16 only where the processor multiplies it itself; elsewhere it is emulated, and slower than float32. Equal work
gives equal bits on processors of one kind: the library chooses its kernels by what the processor can do, and the
size of their blocks by its caches.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Literal

from components.core.errors import ParamsError

_INFO = Path("/proc/cpuinfo")
# What matrix products are chosen by: the names of vector and matrix units.
_FEATURES = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve", "bf16")
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def resolve_compute_type(
    asked: Literal["auto", "float32", "bfloat16"], flags: set[str], *, is_gpu: bool = False
) -> Literal["float32", "bfloat16"]:
    """The type to compute in. Raises ParamsError when bfloat16 is asked for and the processor lacks it."""
    has_bfloat16 = is_gpu or bool(flags & _BFLOAT16_FLAGS)
    if asked == "bfloat16" and not has_bfloat16:
        raise ParamsError(
            "params.yaml, train.compute_type",
            found="bfloat16, on a processor without it",
            expected=f"one with {' or '.join(sorted(_BFLOAT16_FLAGS))}",
            fix="write auto, which takes float32 here",
        )
    return "bfloat16" if has_bfloat16 and asked != "float32" else "float32"


def processor_flags(path: Path = _INFO) -> set[str]:
    """What the first processor can do, by the kernel's names; nothing where the kernel does not tell."""
    return set(_read(path).get("flags", "").split())


def processor_kind(path: Path = _INFO) -> dict[str, Any]:
    """The kind of this machine's processors; no number in it tells one machine of that kind from another."""
    told = _read(path)
    kind = {name: told.get(name, "") for name in ("vendor_id", "cpu family", "model", "model name", "cache size")}
    features = sorted(flag for flag in told.get("flags", "").split() if flag.startswith(_FEATURES))
    return {"architecture": platform.machine(), **kind, "features": features}


def _read(path: Path) -> dict[str, str]:
    """What the kernel tells of the first processor."""
    block = path.read_text().split("\n\n")[0] if path.exists() else ""
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
