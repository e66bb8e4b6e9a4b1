"""What Keras runs on. Only modules of packages with this name may name a backend."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Literal, Protocol

BackendName = Literal["tensorflow", "jax"]

# Keras and its backend read these once, when they are first imported:
# - a file in the user's home would otherwise set backend and float type; the null device can hold no such file;
# - oneDNN is off by default on processors without AVX-512, where a step then takes 1.4 times as long;
# - each operation runs on one thread: oneDNN and Eigen divide their sums among the threads of an operation, so that
#   the number of processors would change the bits. Parallel is what a graph has side by side.
_SETTLED = {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": os.devnull,
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # what goes wrong is raised; the rest tells of graphics cards that are not there
}


def settle_backend(name: BackendName = "tensorflow") -> None:
    """Fix the environment that Keras will read; must run before Keras is imported."""
    os.environ.update({**_SETTLED, "KERAS_BACKEND": name})
    if not any(isinstance(finder, _QuietTensorFlow) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietTensorFlow())


class Backend(Protocol):
    """What the model needs of a backend beside Keras."""

    def compiled(self, function: Callable[..., Any], model: Any) -> Callable[..., Any]:
        """``function`` of tensors, which reads the weights of ``model``, compiled for each combination of shapes."""

    def uniform(self, shape: tuple[int, ...], seed: Sequence[Any]) -> Any:
        """Numbers from 0 to 1 that depend on shape and seed, a few whole numbers, alone."""


def backend() -> Backend:
    """That of the backend that Keras runs on."""
    import keras

    if keras.backend.backend() == "jax":
        from components.model.backends import jax

        return jax
    from components.model.backends import tensorflow

    return tensorflow


class _QuietTensorFlow(MetaPathFinder):
    """Imports TensorFlow with standard error shut: it tells every user of its processor before its log level holds."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module: ModuleType) -> None:
                with _standard_error_shut():
                    load(module)

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def _standard_error_shut() -> Iterator[None]:
    """Nothing that native code writes to standard error is seen while the block runs; exceptions are raised as ever."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
