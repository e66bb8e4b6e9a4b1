"""How compiled loops are made: once for a stage's code, kept for its next run.

In: functions over arrays. Out: machine code. In between: it is kept in the folder that the outer process names after
the stage's fingerprint, so a helper that changed in another file, which Numba would not notice, is compiled anew.
Within that folder a function is found by its module and not by the path of the checkout.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def compiled(**options: Any) -> Callable[[Function], Function]:
    """A decorator that compiles a function when it is first called, or finds it where it was kept.

    ``nogil`` lets a worker notice that its owner is gone.
    """
    decorate: Any = numba.njit(cache=True, nogil=True, error_model="numpy", **options)
    return cast("Callable[[Function], Function]", decorate)


def kernel(function: Function) -> Function:
    """Compile ``function`` when it is first called; it must not create an array, all are handed in.

    Then nobody needs to count who holds one, which took two thirds of the time (``_nrt``).
    """
    return compiled(_nrt=False)(function)


@contextmanager
def alone() -> Iterator[None]:
    """No other process that keeps its machine code in the same place is here: who waits finds what the first made."""
    if not numba.config.CACHE_DIR:  # type: ignore[attr-defined]
        yield
        return
    folder = Path(numba.config.CACHE_DIR)  # type: ignore[attr-defined]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
