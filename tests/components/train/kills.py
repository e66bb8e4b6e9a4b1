"""Attempts at one training that are killed for real, each in a process of its own: ``python -m … FOLDER``.

In: an empty folder. Out: for each number type what each way of being killed led to:
``FOLDER/TYPE/WAY.json`` (history, digest of the state) and ``WAY.log`` (what each step was given). In between:
this process imports TensorFlow and uses none of it, so that a fork is cheap and sound; each fork builds the model,
goes on from what the one before it left, and kills itself with SIGKILL at the point that it was told.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import components.model  # noqa: F401  # settles what Keras runs on
from components.core.stage import Attempt
from components.model.transformer import Transformer
from components.train import TrainConfig
from components.train.backends.tensorflow import TensorFlowStep
from components.train.checkpoints import Checkpoints
from components.train.data import open_data
from components.train.lessons import WindowLessons
from components.train.loop import run
from tests.components.train.world import CONFIG, MODEL, make_world

SHORT, LONG = 6, 60  # steps of the runs that are killed at every step, and at every point of a save
KINDS = ("float32", "bfloat16")
_FILE_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir")


class KilledStep:
    """A step that notes what it was given, and kills its process at a step or at a point of a save."""

    def __init__(self, step: TensorFlowStep, log: Path, at_step: int, at_point: int) -> None:
        self._step, self._log, self._at_step, self._at_point = step, log, at_step, at_point
        self._num_points, self._num_calls = 0, 0
        if at_point:
            sys.addaudithook(self._count)

    @property
    def state(self) -> dict[str, Any]:
        return self._step.state

    def restore(self, state: dict[str, Any]) -> None:
        self._step.restore(state)

    def __call__(self, windows: Any, learning_rate: float, answers: Any = ()) -> Any:
        number = int(self.state["optimizer.num_steps"]) + 1
        with self._log.open("a") as file:
            file.write(json.dumps([number, hashlib.sha256(windows.tobytes()).hexdigest()]) + "\n")
        self._num_calls += 1
        result = self._step(windows, learning_rate, answers)
        if number == self._at_step:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def _count(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count what touches files between the first and the second step of this attempt: a save."""
        if self._num_calls == 1 and event in _FILE_EVENTS:
            self._num_points += 1
            if self._num_points == self._at_point:
                os.kill(os.getpid(), signal.SIGKILL)


def attempt(
    folder: Path, kind: str, world: dict[str, Path], num_steps: int, at_step: int = 0, at_point: int = 0
) -> bool:
    """One attempt in a fork; returns whether it was killed."""
    child = os.fork()
    if child == 0:
        _train(folder, kind, world, num_steps, at_step, at_point)
    status = os.waitpid(child, 0)[1]
    if status and not os.WIFSIGNALED(status):
        raise SystemExit(f"an attempt ended with {status}")
    return bool(status)


def _train(folder: Path, kind: Any, world: dict[str, Path], num_steps: int, at_step: int, at_point: int) -> NoReturn:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sizes = {**MODEL, "num_layers": 2}
        config = TrainConfig(**{**CONFIG, "model": sizes, "num_steps": num_steps, "batch_windows": 4})
        model = Transformer(config.model, seed=1, compute_type=kind)
        inner = TensorFlowStep(model, weight_decay=0.1, clip_norm=1.0)
        step = KilledStep(inner, folder.with_suffix(".log"), at_step, at_point)
        checkpoints = Checkpoints(Attempt(folder, {}), interval_seconds=0)
        history = run(
            config, model, step, WindowLessons(config, open_data(config, **world)), lambda *_: None, checkpoints, 1e9
        )
        digest = hashlib.sha256()
        for name, array in sorted(step.state.items()):
            digest.update(name.encode() + array.tobytes())
        folder.with_suffix(".json").write_text(json.dumps({"history": history, "state": digest.hexdigest()}))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(root: Path) -> None:
    """Runs: left alone; killed at every step; killed at every point of a save, where the number types take turns."""
    world = make_world(root / "world")
    for kind in KINDS:
        attempt(root / kind / "short", kind, world, SHORT)
        attempt(root / kind / "long", kind, world, LONG)
        for at_step in range(1, SHORT + 1):
            attempt(root / kind / "steps", kind, world, SHORT, at_step=at_step)
        attempt(root / kind / "steps", kind, world, SHORT)
    point, was_killed = 0, True
    attempt(root / KINDS[0] / "points", KINDS[0], world, LONG, at_step=3)
    attempt(root / KINDS[1] / "points", KINDS[1], world, LONG, at_step=3)
    while was_killed:
        kind = KINDS[(point := point + 1) % 2]
        was_killed = attempt(root / kind / "points", kind, world, LONG, at_point=point)
    for kind in KINDS:
        attempt(root / kind / "points", kind, world, LONG)
    (root / "num_points").write_text(str(point - 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
