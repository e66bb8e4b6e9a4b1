"""One process of a training of several: ``python -m … WORLD FOLDER [KILL_AT_STEP]``; prints a line for each outcome.

In: packed tokens and a placement in the environment. Out: losses and the digest of the last state, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import components.model  # noqa: F401  # settles what Keras runs on
from components.core.stage import Attempt
from components.train import TrainConfig
from components.train.backends.tensorflow_devices import Devices
from components.train.cluster import read_placement
from tests.components.train.world import CONFIG, MODEL


def main(world: Path, folder: Path, kill_at: int = 0) -> None:
    devices = Devices(read_placement(os.environ))
    from components.model.transformer import Transformer
    from components.train.backends.tensorflow import TensorFlowStep
    from components.train.checkpoints import Checkpoints
    from components.train.data import open_data
    from components.train.lessons import WindowLessons
    from components.train.loop import run

    def live(step: int, _: Any) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    config = TrainConfig(**{**CONFIG, "model": {**MODEL, "num_layers": 2}, "num_steps": 6, "batch_windows": 4})
    data = open_data(config, world / "tokens", world / "checks")
    model = Transformer(config.model, seed=1)
    step = TensorFlowStep(model, weight_decay=0.1, clip_norm=1.0, devices=devices)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(Attempt(folder, {}), batch_windows=4, interval_seconds=0, peers=devices)
    history = run(config, model, step, WindowLessons(config, data), live, checkpoints, 1e9)
    digest = hashlib.sha256()
    for name, array in sorted(step.state.items()):
        digest.update(name.encode() + array.tobytes())
    print(json.dumps({"history": history, "state": digest.hexdigest(), "devices": devices.count}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 0)
