"""Where a training runs: on which devices of this machine, or beside which other processes.

In: the environment, as Kubernetes, a Prefect work pool or a person sets it. Out: a Placement. In between: nothing in
it can change the result; every process of a training holds the whole of it and ends with the same bytes.

    PEDIGREE_DEVICES=gpu:4 or cpu:2     devices of one process
    TF_CONFIG={"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}
                                        processes of several machines, as TensorFlow and Kubeflow write it
    PEDIGREE_CLUSTER=host:port,…        the same as a list, with this process's own number in
        PEDIGREE_WORKER_INDEX           as a Prefect work pool passes it among its job variables, or
        JOB_COMPLETION_INDEX            as Kubernetes numbers the pods of an indexed job
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from components.core.errors import WorkspaceError

DEVICES, TF_CONFIG, CLUSTER = "PEDIGREE_DEVICES", "TF_CONFIG", "PEDIGREE_CLUSTER"
INDICES = ("PEDIGREE_WORKER_INDEX", "JOB_COMPLETION_INDEX")
VARIABLES = (DEVICES, TF_CONFIG, CLUSTER, *INDICES)
# With one of these, processes talk with each other.
NETWORKED = (TF_CONFIG, CLUSTER)


@dataclass(frozen=True)
class Placement:
    """Where one process of a training is.

    Attributes:
        device_kind: "CPU" or "GPU"; empty leaves it to TensorFlow.
        num_devices: devices of this process.
        workers: ``host:port`` of every process, this one among them; empty when it is alone.
        index: the number of this process.
    """

    device_kind: str = ""
    num_devices: int = 1
    workers: tuple[str, ...] = ()
    index: int = 0

    @property
    def tf_config(self) -> str:
        """The placement as TensorFlow reads it."""
        return json.dumps({"cluster": {"worker": self.workers}, "task": {"type": "worker", "index": self.index}})


def read_placement(environment: Mapping[str, str]) -> Placement:
    """The placement that the variables say. Raises WorkspaceError naming the one that cannot be understood."""
    workers, index = _cluster(environment)
    if workers:
        return Placement(workers=workers, index=index)
    kind, num_devices = _devices(environment)
    return Placement(kind, num_devices)


def check_gpus(num_promised: int, num_found: int, library: str) -> None:
    """Raises WorkspaceError when fewer graphics cards are there than ``PEDIGREE_DEVICES`` promises."""
    if num_found < num_promised:
        raise WorkspaceError(
            f"the variable {DEVICES}",
            found=f"{num_promised} graphics cards promised, {num_found} there",
            expected=f"as many as promised, with a driver that {library} can use",
            fix=f"look at `nvidia-smi`, or unset {DEVICES}",
        )


def _devices(environment: Mapping[str, str]) -> tuple[str, int]:
    if not (told := environment.get(DEVICES, "")):
        return "", 1
    if not (match := re.fullmatch(r"(cpu|gpu)(?::([1-9]\d?))?", told)):
        raise _refuse(DEVICES, told, "gpu, gpu:4 or cpu:2")
    return match[1].upper(), int(match[2] or 1)


def _cluster(environment: Mapping[str, str]) -> tuple[tuple[str, ...], int]:
    if told := environment.get(TF_CONFIG, ""):
        try:
            values = json.loads(told)
            workers, index = tuple(map(str, values["cluster"]["worker"])), int(values["task"]["index"])
        except (ValueError, KeyError, TypeError):
            raise _refuse(TF_CONFIG, told, "a cluster of workers, and the index of this task") from None
    elif told := environment.get(CLUSTER, ""):
        workers = tuple(told.split(","))
        name = next((name for name in INDICES if name in environment), INDICES[0])
        index = _number(environment, name, "-1")
    else:
        return (), 0
    if not 0 <= index < len(workers):
        raise _refuse(CLUSTER, told, f"the number of this process among the {len(workers)}, in {' or '.join(INDICES)}")
    if odd := [worker for worker in workers if not re.fullmatch(r"[^\s:,]+:\d{1,5}", worker)]:
        raise _refuse(CLUSTER, odd[0], "host:port")
    return workers, index


def _number(environment: Mapping[str, str], name: str, default: str) -> int:
    told = environment.get(name, default)
    try:
        return int(told)
    except ValueError:
        raise _refuse(name, told, "a whole number") from None


def _refuse(name: str, found: str, expected: str) -> WorkspaceError:
    return WorkspaceError(f"the variable {name}", found=found, expected=expected, fix=f"correct or unset {name}")
