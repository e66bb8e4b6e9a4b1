"""How compiled loops are made: once for a stage's code, kept for its next run.

In: functions over arrays. Out: machine code. In between: it is kept in the folder that the outer process names after
the stage's fingerprint, so a helper that changed in another file, which Numba would not notice, is compiled anew.
Within that folder a function is found by its module and not by the path of the checkout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import UserProvidedCacheLocator

Function = TypeVar("Function", bound=Callable[..., object])


class ByModule(UserProvidedCacheLocator):
    """Says where in NUMBA_CACHE_DIR the machine code of a function lies."""

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """The place of a source file below the project's packages, as one word."""
        parts = Path(py_file).with_suffix("").parts
        return "-".join(parts[-1 - parts[::-1].index("components") :] if "components" in parts else parts[1:])


if numba.config.CACHE_DIR:  # type: ignore[attr-defined]
    numba.config.CACHE_LOCATOR_CLASSES = f"{ByModule.__module__}.{ByModule.__name__}"  # type: ignore[attr-defined]


def kernel(function: Function) -> Function:
    """Compile ``function`` when it is first called; it must not create an array, all are handed in.

    Then nobody needs to count who holds one, which took two thirds of the time (``_nrt``). ``nogil`` lets a worker
    notice that its owner is gone.
    """
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
    compiled: Any = numba.njit(**options)(function)
    return cast("Function", compiled)
