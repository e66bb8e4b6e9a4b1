"""The devices that share a step: one, several of this machine, or one of each of several processes.

In: the pieces of a batch. Out: their gradients, all of them on every device, in the order of the pieces. In between:
gradients are exchanged whole and never summed on the way, so that the one sum that follows has the same order, and
the same bits, however many devices there are. Each process holds all variables and moves them alike.

Several devices of one machine are a ``MirroredStrategy``, several processes a ``MultiWorkerMirroredStrategy``
(Abadi et al. 2016, section 3.3); only their exchange is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.core.errors import ParamsError, WorkspaceError
from components.train.cluster import DEVICES, Placement

Tensor = Any


class Devices:
    """What takes part in a step; must be made before TensorFlow has done anything."""

    def __init__(self, placement: Placement | None = None) -> None:
        placement = placement or Placement()
        self.num_processes, self.process = max(1, len(placement.workers)), placement.index
        self._strategy = _strategy(placement)
        self.count = self._strategy.num_replicas_in_sync if self._strategy else 1

    def check_shares(self, num_pieces: int) -> None:
        """Raises ParamsError when the pieces of a batch cannot be shared out equally."""
        if num_pieces % self.count:
            raise ParamsError(
                "params.yaml, train.batch_windows",
                found=f"batches of {num_pieces} equal pieces for {self.count} devices",
                expected="as many pieces for each device",
                fix=f"make it a multiple of {self.count}, or use fewer devices",
            )

    def in_order(self, gradients: Callable[..., Any], pieces: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
        """``gradients(*piece)``, which is a loss and a list of tensors, for each piece in turn; within a graph."""
        if self._strategy is None:
            yield from (gradients(*piece) for piece in pieces)
            return
        for start in range(0, len(pieces), self.count):
            yield from self._exchanged(gradients, pieces[start : start + self.count])

    def any_of(self, *flags: bool) -> list[bool]:
        """Each flag: whether any process has set it. All processes must ask at the same point."""
        if self.num_processes == 1:
            return list(flags)
        gathered = self._gather(np.array([flags], np.int32))  # [processes, flags]
        return [bool(column.any()) for column in gathered.T]

    def newest(self, step: int, data: bytes) -> bytes:
        """The data of the first process with the highest ``step``, at every process."""
        if self.num_processes == 1:
            return data
        told = self._gather(np.array([[step, len(data)]], np.int64))  # [processes, 2]
        holder = int(told[:, 0].argmax())
        if not told[holder, 1]:
            return b""  # and TensorFlow crashes when it gathers nothing
        words = np.zeros((1, -(-int(told[holder, 1]) // 4)), np.int32)
        if holder == self.process:
            words.view(np.uint8)[0, : len(data)] = np.frombuffer(data, np.uint8)
        return bytes(self._gather(words)[holder].tobytes()[: told[holder, 1]])

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

    def _gather(self, rows: Any) -> Any:
        """The rows of all processes.  # [processes, …]"""

        def on_each_device() -> Tensor:
            return tf.distribute.get_replica_context().all_gather(tf.constant(rows), axis=0)

        gathered = tf.function(lambda: self._strategy.run(on_each_device), autograph=False)()
        return self._strategy.experimental_local_results(gathered)[0].numpy()


def _strategy(placement: Placement) -> Any:
    if placement.workers:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if placement.device_kind == "GPU":
        _check_gpus(placement.num_devices)
    if placement.num_devices == 1:
        return None
    if placement.device_kind == "CPU":
        parts = [tf.config.LogicalDeviceConfiguration()] * placement.num_devices
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    return tf.distribute.MirroredStrategy([f"{placement.device_kind}:{n}" for n in range(placement.num_devices)])


def _check_gpus(num_promised: int) -> None:
    found = len(tf.config.list_physical_devices("GPU"))
    if found < num_promised:
        raise WorkspaceError(
            f"the variable {DEVICES}",
            found=f"{num_promised} graphics cards promised, {found} there",
            expected="as many as promised, with a driver that TensorFlow can use",
            fix=f"look at `nvidia-smi`, or unset {DEVICES}",
        )
