"""The devices that share a step in JAX: one, several of this machine, or those of several processes.

In: a placement. Out: arrays that lie on them. In between: the devices stand in one row; an array is whole on each of
them, or its first axis lies along the row. Processes find one another at the address of the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from components.train.backends import Devices
from components.train.cluster import Placement, check_gpus


class JaxDevices(Devices):
    """Must be made before JAX has done anything.

    Attributes:
        own: the devices of this process, each with its place in the row.
        whole: how an array lies that every device has.
        along: how an array lies whose first axis has an entry for each device.
    """

    def __init__(self, placement: Placement | None = None) -> None:
        placement = placement or Placement()
        if placement.workers:
            _set("jax_cpu_collectives_implementation", "gloo")
            jax.distributed.initialize(placement.workers[0], len(placement.workers), placement.index)
        elif placement.device_kind == "CPU":
            _set("jax_num_cpu_devices", placement.num_devices)
        self.is_gpu = jax.default_backend() == "gpu"
        if placement.device_kind == "GPU":
            check_gpus(placement.num_devices, len(jax.devices()) if self.is_gpu else 0, "JAX")
        row = jax.devices() if placement.workers else jax.devices()[: placement.num_devices]
        self.process, self.count, self.kind = placement.index, len(row), row[0].device_kind
        self.own = [(place, device) for place, device in enumerate(row) if device.process_index == self.process]
        self.whole, self.along = (NamedSharding(Mesh(np.array(row), ("row",)), _spec(*axes)) for axes in ((), ("row",)))

    def check_batch(self, _shape: tuple[int, ...], num_accumulations: int) -> None:
        """``Devices.check_batch``."""
        self._check_shares(num_accumulations, "num_accumulations")

    def side_by_side(self, found: Sequence[Any]) -> Any:
        """What the process's own devices found, a tree of arrays [1, …] each, as a tree of arrays [devices, …]."""

        def join(*arrays: jax.Array) -> jax.Array:
            shape = (self.count, *arrays[0].shape[1:])
            return jax.make_array_from_single_device_arrays(shape, self.along, list(arrays))

        return jax.tree.map(join, *found)

    def apart(self, arrays: Any) -> list[Any]:
        """A tree of arrays that every device has, as each of the process's own devices has it."""

        def of(device: jax.Device) -> Any:
            return jax.tree.map(lambda array: _shards(array)[device], arrays)

        return [of(device) for _, device in self.own]

    def _gather(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return np.asarray(multihost_utils.process_allgather(rows, tiled=True))


def _shards(array: jax.Array) -> dict[jax.Device, jax.Array]:
    return {shard.device: shard.data for shard in array.addressable_shards}


def _set(name: str, value: Any) -> None:
    jax.config.update(name, value)  # type: ignore[no-untyped-call]


def _spec(*axes: str) -> PartitionSpec:
    return PartitionSpec(*axes)  # type: ignore[no-untyped-call]
