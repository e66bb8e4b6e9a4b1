"""What a backend has to offer the trainer. Only modules of this package may name one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.core.errors import ParamsError
from components.model.backends import BackendName
from components.train.cluster import Placement
from components.train.config import Optimisation

if TYPE_CHECKING:
    from components.model.transformer import Transformer

# A number of bytes is sent as two numbers, for JAX has whole numbers up to 2³¹ only.
_PAGE = 1 << 20
State = dict[str, npt.NDArray[np.generic]]
Windows = npt.NDArray[np.int32]


class Answers(NamedTuple):
    """The targets that a loss counts; their weights are 1 on average over a batch.

    Attributes:
        places: which targets of each window, from 0 on.  # [B, A]
        weights: of each; 0 fills up.                     # [B, A]
    """

    places: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]


class Batch(NamedTuple):
    """What a step learns from: windows, and which of their targets count, all of them unless told."""

    windows: Windows  # [B, T + 1]
    answers: Answers | tuple[()] = ()


class StepResult(NamedTuple):
    """What a step tells: its loss in nats per token before the update, and the gradient's length before clipping."""

    loss: float
    gradient_norm: float


class TrainStep(Protocol):
    """A model with its optimizer: each call moves both one step on."""

    @property
    def state(self) -> State:
        """Everything that a step reads and writes, by name: with it, the next step is the same anywhere."""

    def restore(self, state: State, /) -> None:
        """Take over a ``state`` of the same names, types and shapes."""

    def __call__(self, windows: Windows, learning_rate: float, answers: Answers | tuple[()] = ()) -> StepResult:
        """One step on a batch of windows [B, T + 1], all of whose targets count or only ``answers``."""


class Backend(Protocol):
    """A module of this package: what can train a model."""

    def open_devices(self, placement: Placement) -> Devices:
        """The devices that share a step, before the backend has done anything; WorkspaceError if they are not there."""

    def make_step(self, config: Optimisation, model: Transformer, devices: Any) -> TrainStep:
        """The step of ``model`` on ``devices``."""

    def measure_peak(self, compute_type: str, num_processors: int) -> float:
        """FLOP/s of the fastest matrix products of this machine."""


def backend(name: BackendName) -> Backend:
    """The backend ``name``; Keras must run on it."""
    if name == "jax":
        from components.train.backends import jax

        return jax
    from components.train.backends import tensorflow

    return tensorflow


class Devices:
    """What takes part in a step: one device of one process, unless a backend says otherwise.

    Each process holds the whole of a run, and all must ask the same of their devices at the same point.

    Attributes:
        count: devices of all processes together.
        process: the number of this process.
        kind: what the devices are, for the record.
        is_gpu: whether they are graphics cards.
    """

    count, process, kind, is_gpu = 1, 0, "cpu", False

    def check_batch(self, _shape: tuple[int, ...], _num_accumulations: int) -> None:
        """Raises ParamsError when batches [B, T + 1] of so many parts cannot be shared out equally."""

    def _check_shares(self, num_parts: int, key: str) -> None:
        if num_parts % self.count:
            raise ParamsError(
                f"params.yaml, train.{key}",
                found=f"batches of {num_parts} equal parts for {self.count} devices",
                expected="as many parts for each device",
                fix=f"make it a multiple of {self.count}, or use fewer devices",
            )

    def any_of(self, *flags: bool) -> list[bool]:
        """Each flag: whether any process has set it."""
        gathered = self._gather(np.array([flags], np.int32))  # [processes, flags]
        return [bool(column.any()) for column in gathered.T]

    def newest(self, step: int, data: bytes) -> bytes:
        """The data of the first process with the highest ``step``, at every process."""
        told = self._gather(np.array([[step, *divmod(len(data), _PAGE)]], np.int32))  # [processes, 3]
        holder = int(told[:, 0].argmax())
        if not (num_bytes := int(told[holder, 1]) * _PAGE + int(told[holder, 2])):
            return b""  # and TensorFlow crashes when it gathers nothing
        words = np.zeros((1, -(-num_bytes // 4)), np.int32)
        if holder == self.process:
            words.view(np.uint8)[0, :num_bytes] = np.frombuffer(data, np.uint8)
        return bytes(self._gather(words)[holder].tobytes()[:num_bytes])

    def _gather(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The rows of all processes.  # [1, …] → [processes, …]"""
        return rows
