"""The devices that share a step: one, several of this machine, or one of each of several processes.

In: the pieces of a batch. Out: their gradients, all of them on every device, in the order of the pieces. In between:
gradients are exchanged whole and never summed on the way, so that the one sum that follows has the same order, and
the same bits, however many devices there are. Each process holds all variables and moves them alike.

Several devices of one machine are a ``MirroredStrategy``, several processes a ``MultiWorkerMirroredStrategy``
(Abadi et al. 2016, section 3.3); only their exchange is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.backends import Devices
from components.train.cluster import TF_CONFIG, Placement, check_gpus

Tensor = Any
# So many processors at most can work on a step on one machine, each on so many tokens at least.
_MOST_PIECES, _LEAST_TOKENS = 8, 1024


class TensorFlowDevices(Devices):
    """Must be made before TensorFlow has done anything."""

    def __init__(self, placement: Placement | None = None) -> None:
        placement = placement or Placement()
        if placement.workers:
            os.environ[TF_CONFIG] = placement.tf_config  # TensorFlow reads it from there alone
        self.process, self._has_peers = placement.index, bool(placement.workers)
        self._strategy = _strategy(placement)
        self.count = self._strategy.num_replicas_in_sync if self._strategy else 1
        if cards := tf.config.list_physical_devices("GPU"):
            self.is_gpu = True
            self.kind = str(tf.config.experimental.get_device_details(cards[0]).get("device_name", "gpu"))

    def check_batch(self, shape: tuple[int, ...], num_accumulations: int) -> None:
        """``Devices.check_batch``."""
        self._check_shares(num_pieces_of((shape[0] // num_accumulations, shape[1])), "batch_windows")

    def in_order(self, gradients: Callable[..., Any], pieces: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
        """``gradients(*piece)``, which is a loss and a list of tensors, for each piece in turn; within a graph."""
        if self._strategy is None:
            yield from (gradients(*piece) for piece in pieces)
            return
        for start in range(0, len(pieces), self.count):
            yield from self._exchanged(gradients, pieces[start : start + self.count])

    def _exchanged(self, gradients: Callable[..., Any], pieces: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
        shapes: list[Any] = []

        def on_each_device() -> Tensor:
            replica = tf.distribute.get_replica_context()
            own = [tf.gather(tf.stack(part), replica.replica_id_in_sync_group) for part in zip(*pieces, strict=True)]
            loss, found = gradients(*own)
            shapes[:] = [gradient.shape for gradient in found]
            flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in (loss, *found)], axis=0)
            return replica.all_gather(flat[None], axis=0)  # [devices, numbers]

        everywhere = self._strategy.experimental_local_results(self._strategy.run(on_each_device))[0]
        sizes = [1, *(shape.num_elements() for shape in shapes)]
        for row in tf.unstack(everywhere, num=self.count):
            loss, *found = tf.split(row, sizes)
            yield loss[0], [tf.reshape(flat, shape) for flat, shape in zip(found, shapes, strict=True)]

    def _gather(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        if not self._has_peers:
            return rows

        def on_each_device() -> Tensor:
            return tf.distribute.get_replica_context().all_gather(tf.constant(rows), axis=0)

        gathered = tf.function(lambda: self._strategy.run(on_each_device), autograph=False)()
        found: npt.NDArray[np.int32] = self._strategy.experimental_local_results(gathered)[0].numpy()
        return found


def _strategy(placement: Placement) -> Any:
    if placement.workers:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if placement.device_kind == "GPU":
        check_gpus(placement.num_devices, len(tf.config.list_physical_devices("GPU")), "TensorFlow")
    if placement.num_devices == 1:
        return None
    if placement.device_kind == "CPU":
        parts = [tf.config.LogicalDeviceConfiguration()] * placement.num_devices
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    return tf.distribute.MirroredStrategy([f"{placement.device_kind}:{n}" for n in range(placement.num_devices)])


def num_pieces_of(shape: tuple[int, ...]) -> int:
    """Into how many equal pieces windows of this shape [B, T + 1] are cut: two, or as many as are worth while."""
    num_windows, num_tokens = shape[0], shape[0] * (shape[1] - 1)
    fitting = [n for n in range(1, _MOST_PIECES + 1) if num_windows % n == 0]
    return max(n for n in fitting if n <= 2 or num_tokens // n >= _LEAST_TOKENS)
