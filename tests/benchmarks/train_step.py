"""How long a training step takes at the sizes of params.yaml, beside plain arrangements of the same formulas.

    python -m tests.benchmarks.train_step [rounds]

Each arrangement runs in a process of its own; they take turns, a few steps each, so that whatever else the machine
does falls on all of them. Wall time and processor time of a step, in milliseconds, medians.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

ARRANGEMENTS = {
    "plain formulas, TensorFlow as installed": {"arrangement": "plain", "onednn": None},
    "plain formulas, oneDNN": {"arrangement": "plain", "onednn": "1"},
    "ours": {"arrangement": "ours", "onednn": "1"},
}
STEPS_PER_TURN = 3


def main(rounds: int) -> None:
    """Print one line for each arrangement."""
    workers = {name: start_worker(options) for name, options in ARRANGEMENTS.items()}
    for worker in workers.values():
        ask(worker)  # compiles
    turns = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            turns[name] += ask(worker)
    for name, worker in workers.items():
        worker.stdin.close()
        worker.wait()
        wall, cpu = (statistics.median(values) * 1000 for values in zip(*turns[name], strict=True))
        print(f"{name:42s} {wall:7.0f} ms wall {cpu:7.0f} ms of processors")


def start_worker(options: dict[str, str | None]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.train_step", "worker", json.dumps(options)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def ask(worker: subprocess.Popen[str]) -> list[list[float]]:
    """Seconds of wall and processor time of a few steps."""
    print("go", file=worker.stdin, flush=True)
    return json.loads(worker.stdout.readline())


def work(options: dict[str, str | None]) -> None:
    """Answer each line with the times of a few steps."""
    step, windows = (make_plain_step if options["arrangement"] == "plain" else make_step)(options["onednn"])
    for _ in sys.stdin:
        print(json.dumps([measure(step, windows) for _ in range(STEPS_PER_TURN)]), flush=True)


def measure(step, windows) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    step(windows)
    return time.perf_counter() - wall, time.process_time() - cpu


def make_step(_onednn: str | None):
    from components.train.backends.tensorflow import TensorFlowStep

    model, config, windows = make_inputs()
    step = TensorFlowStep(model, weight_decay=config.weight_decay, clip_norm=config.clip_norm)
    return lambda batch: step(batch, config.learning_rate), windows


def make_inputs():
    import numpy as np

    from components.model.transformer import Transformer
    from components.train import TrainConfig

    config = TrainConfig()
    model, shape = config.model, (config.batch_windows, config.model.context_tokens + 1)
    windows = np.random.default_rng(0).integers(0, model.vocabulary_size, shape, np.int32)
    return Transformer(model, seed=1), config, windows


def make_plain_step(onednn: str | None):
    """The same formulas as one would write them first: full attention, all logits, gradients by the tape."""
    import components.model  # noqa: F401 - settles the environment, which is then unsettled

    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"):
        del os.environ[name]
    if onednn is not None:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = onednn

    import keras
    import tensorflow as tf

    from components.model import formulas

    model, config, windows = make_inputs()
    optimizer = keras.optimizers.AdamW(
        config.learning_rate, weight_decay=config.weight_decay, global_clipnorm=config.clip_norm
    )
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = model.training_loss(batch, formulas)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return lambda batch: float(step(tf.constant(batch))), windows


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(json.loads(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
