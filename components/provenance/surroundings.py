"""Where a build took place: code state, processor, interpreter, and what the numerics libraries listen to.

In: the machine, as it is. Out: plain values for a statement. In between: nothing here ever reaches an artifact, so
equal work stays equal; it explains, afterwards, why bits could differ elsewhere.
"""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

from components.core.sandbox import environment
from components.provenance.evidence import PINS

# The libraries whose kernels decide the last bit of a weight.
NUMERIC_LIBRARIES = ("tensorflow", "keras", "numpy", "jax", "ml-dtypes")
_LISTENED_TO = ("TF_", "XLA_", "ONEDNN_", "DNNL_", "OMP_", "MKL_", "KERAS_", "CUDA_", "JAX_")
# Instruction sets between which the kernels of oneDNN choose.
_INSTRUCTION_SETS = (
    "sse4_1", "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",
)  # fmt: skip
_LOCKS_OF_A_RUN = ("dvc.lock", *PINS)


def describe() -> dict[str, Any]:
    """Processor, interpreter, libraries of this machine, and what stages see of its environment, as plain values."""
    seen = environment(Path("scratch"), Path("kernels"), {})
    variables = {name: value for name, value in sorted(seen.items()) if name.startswith(_LISTENED_TO)}
    settings = {"oneDNN": variables.get("TF_ENABLE_ONEDNN_OPTS", "on by default"), "variables": variables}
    return {"processor": processor(), "interpreter": _interpreter(), "libraries": libraries(), "environment": settings}


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Kind, model name and instruction sets of the first processor, by the kernel's names."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    present = [name for name in _INSTRUCTION_SETS if name in flags]
    return {"kind": platform.machine(), "name": fields.get("model name", "unknown"), "instructions": present}


def libraries() -> dict[str, str]:
    """The versions of the libraries that decide bits, those of them that are installed."""
    found = {}
    for name in NUMERIC_LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_state(root: Path) -> tuple[str, bool] | None:
    """The commit of the code and whether it was changed since; None where git cannot tell.

    The locks that a run writes are no change of the code: a statement names them by their digests.
    """
    commit = _git(root, "rev-parse", "HEAD")
    locks = [f":(exclude){name}" for name in _LOCKS_OF_A_RUN]
    changes = _git(root, "status", "--porcelain", "--untracked-files=normal", "--", ".", *locks)
    return (commit, bool(changes)) if commit and changes is not None else None


def _interpreter() -> str:
    return f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
