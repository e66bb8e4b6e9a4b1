"""What Keras runs on. Only modules of packages with this name may name a backend."""

from __future__ import annotations

import os

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


def settle_backend() -> None:
    """Fix the environment that Keras will read; must run before Keras is imported."""
    os.environ.update(_SETTLED)
