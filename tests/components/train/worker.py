"""One process of a training of several: ``python -m … BACKEND WORLD FOLDER [KILL_AT_STEP]``; prints how it ended.

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

from components.core.stage import Attempt
from components.model.backends import BackendName, settle_backend
from components.train import TrainConfig
from components.train.cluster import read_placement
from tests.components.train.world import CONFIG, MODEL


def main(name: BackendName, world: Path, folder: Path, kill_at: int = 0) -> None:
    settle_backend(name)
    from components.model.transformer import Transformer
    from components.train.backends import backend
    from components.train.checkpoints import Checkpoints
    from components.train.data import open_data
    from components.train.lessons import WindowLessons
    from components.train.loop import run

    def live(step: int, _: Any) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    values = {"model": {**MODEL, "num_layers": 2, "dropout": 0.1}, "num_steps": 6, "batch_windows": 4}
    config = TrainConfig(**{**CONFIG, **values, "backend": name, "num_accumulations": 2})
    devices = backend(name).open_devices(read_placement(os.environ))
    data = open_data(config, world / "tokens", world / "checks")
    model = Transformer(config.model, seed=1)
    step = backend(name).make_step(config, model, devices)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(Attempt(folder, {}), interval_seconds=0, devices=devices)
    history = run(config, model, step, WindowLessons(config, data), live, checkpoints, 1e9)
    digest = hashlib.sha256()
    for name, array in sorted(step.state.items()):
        digest.update(name.encode() + array.tobytes())
    print(json.dumps({"history": history, "state": digest.hexdigest(), "devices": devices.count}))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:4]), *map(int, sys.argv[4:]))  # type: ignore[arg-type]
