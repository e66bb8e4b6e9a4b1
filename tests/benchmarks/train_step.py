"""How long a training step takes, ours beside PyTorch of the same shape, or beside the plain formulas.

    python -m tests.benchmarks.train_step --peer /path/to/python/with/torch [--preload libjemalloc.so.2]
    python -m tests.benchmarks.train_step --sizes medium --type float32 --rounds 5
    python -m tests.benchmarks.train_step --loop

In: an interpreter with PyTorch (none: ours beside the plain formulas), an allocator for it. Out: for each arrangement,
milliseconds of wall and of processors for a step (medians), tokens/s, and the share that the step's operations are of
the fastest matrix products of this machine. In between: each arrangement runs in a process of its own; all compile at
once and then take turns, a step each, so that whatever else the machine does falls on all of them. PyTorch's own cache
keeps what it compiles: where the time is limited, run once with ``--rounds 0`` before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.learning import fastest, operations_per_token

# The sizes of the seed article, and three times as wide.
SHAPES: dict[str, dict[str, int]] = {
    "seed": {"vocabulary_size": 10_000, "context_tokens": 512, "width": 128, "num_layers": 4, "num_heads": 4,
             "feed_forward_width": 512},
    "medium": {"vocabulary_size": 4096, "context_tokens": 256, "width": 384, "num_layers": 6, "num_heads": 6,
               "feed_forward_width": 1536},
}  # fmt: skip
BATCH = {"seed": 8, "medium": 16}
CHUNKS = 8
Step = Callable[[Any], object]


def main(options: argparse.Namespace) -> None:
    """Print a line for each arrangement."""
    arms = start_all(options)
    turns: dict[str, list[Any]] = {name: [] for name in arms}
    for _ in range(options.rounds):
        for name, worker in arms.items():
            turns[name].append(ask(worker))
    peak = max(ask(worker, "peak") for worker in arms.values())
    for worker in arms.values():
        worker.stdin.close()
    if options.rounds:
        report(options, turns, peak)


def start_all(options: argparse.Namespace) -> dict[str, subprocess.Popen[str]]:
    """A worker for each arrangement, which has taken two steps: the first one compiles."""
    arms = {"ours": start(sys.executable, "ours", options)}
    if options.peer:
        arms["PyTorch"] = start(options.peer, "torch", options)
        arms["PyTorch, loss in chunks, allocator"] = start(options.peer, "chunked", options, options.preload)
    else:
        arms["plain formulas"] = start(sys.executable, "plain", options)
    for _ in range(2):
        for worker in arms.values():
            tell(worker, "step")
        for worker in arms.values():
            hear(worker)
    return arms


def report(options: argparse.Namespace, turns: dict[str, list[Any]], peak: float) -> None:
    sizes, ours = SHAPES[options.sizes], turns["ours"]
    num_tokens = BATCH[options.sizes] * sizes["context_tokens"]
    print(f"{options.sizes}, {options.type}, {options.rounds} steps each; {peak / 1e9:,.0f} GFLOP/s of matrix products")
    for name, times in turns.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        share = num_tokens * operations_per_token(sizes) / wall / peak
        ratio = statistics.median(theirs[0] / own[0] for own, theirs in zip(ours, times, strict=True))
        print(
            f"{name:36} {1000 * wall:6.0f} ms wall (fastest {1000 * min(times)[0]:.0f}) {1000 * cpu:6.0f} ms of "
            f"processors {num_tokens / wall:8,.0f} tokens/s {share:5.1%} of peak, ours {ratio:.2f} times as fast"
        )


def start(python: str, arm: str, options: argparse.Namespace, preload: str = "") -> subprocess.Popen[str]:
    command = [python, "-W", "ignore", "-m", "tests.benchmarks.train_step", "--arm", arm]
    command += ["--sizes", options.sizes, "--type", options.type]
    pipe, preloaded = subprocess.PIPE, {"LD_PRELOAD": preload} if preload else {}
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **preloaded})


def ask(worker: subprocess.Popen[str], what: str = "step") -> Any:
    """Seconds of wall and of processors of a step, or FLOP/s."""
    tell(worker, what)
    return hear(worker)


def tell(worker: subprocess.Popen[str], what: str) -> None:
    print(what, file=worker.stdin, flush=True)


def hear(worker: subprocess.Popen[str]) -> Any:
    return json.loads(worker.stdout.readline())


def work(options: argparse.Namespace) -> None:
    """Answer each line."""
    shape = (BATCH[options.sizes], SHAPES[options.sizes]["context_tokens"] + 1)
    windows = np.random.default_rng(0).integers(0, SHAPES[options.sizes]["vocabulary_size"], shape, np.int32)
    makers = {"ours": make_ours, "plain": make_plain, "torch": make_torch, "chunked": make_torch}
    step, peak = makers[options.arm](options)
    for line in sys.stdin:
        print(json.dumps(peak() if line.strip() == "peak" else measure(step, windows)), flush=True)


def measure(step: Step, windows: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    step(windows)
    return time.perf_counter() - wall, time.process_time() - cpu


def make_ours(options: argparse.Namespace) -> tuple[Step, Callable[[], float]]:
    from components.model import ModelConfig
    from components.model.transformer import Transformer
    from components.train.backends.tensorflow import TensorFlowStep, measure_peak

    model = Transformer(ModelConfig(**SHAPES[options.sizes]), seed=1, compute_type=options.type)
    step = TensorFlowStep(model, weight_decay=0.1, clip_norm=1.0)
    return lambda windows: step(windows, 1e-3), lambda: measure_peak(options.type, len(os.sched_getaffinity(0)))


def make_plain(options: argparse.Namespace) -> tuple[Step, Callable[[], float]]:
    """The same formulas as one would write them first: full attention, all logits, gradients by the tape, Keras' AdamW.

    With as many threads for an operation as TensorFlow likes.
    """
    from components.model import ModelConfig, formulas

    del os.environ["TF_NUM_INTRAOP_THREADS"]
    import keras
    import tensorflow as tf

    from components.model.transformer import Transformer

    model = Transformer(ModelConfig(**SHAPES[options.sizes]), seed=1, compute_type=options.type)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(batch: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = model.training_loss(batch, formulas)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return lambda windows: float(step(tf.constant(windows))), lambda: 0.0


def make_torch(options: argparse.Namespace) -> tuple[Step, Callable[[], float]]:
    import torch

    from tests.benchmarks.torch_gpt import GPT, Sizes, Step

    torch.manual_seed(1)
    num_chunks = CHUNKS if options.arm == "chunked" else 1
    step = Step(GPT(Sizes(**SHAPES[options.sizes])), compute_type=options.type, num_chunks=num_chunks)
    kind = getattr(torch, options.type)
    return (
        lambda windows: step(windows, 1e-3),
        lambda: fastest(lambda x: x @ x, lambda size: torch.ones((size, size), dtype=kind)),
    )


def seconds_of_loop(few: int = 100, many: int = 2100) -> float:
    """What the loop costs around a step that does nothing: batches, history, the live file, progress, checkpoints."""
    from components.core.child import _live_writer
    from components.core.stage import Attempt
    from components.train import TrainConfig
    from tests.components.train.world import CONFIG, make_world

    with tempfile.TemporaryDirectory() as scratch:
        world, live = make_world(Path(scratch) / "world"), _live_writer(Path(scratch) / "live.jsonl")
        from components.model.transformer import Transformer
        from components.train.backends import StepResult
        from components.train.checkpoints import Checkpoints
        from components.train.data import open_data
        from components.train.lessons import WindowLessons
        from components.train.loop import run

        class Nothing:
            state: dict[str, Any] = {}  # noqa: RUF012

            def __call__(self, *_: Any) -> StepResult:
                return StepResult(1.0, 1.0)

        def seconds_of(num_steps: int) -> float:
            config = TrainConfig(**{**CONFIG, "num_steps": num_steps, "validation_interval_steps": num_steps})
            checkpoints = Checkpoints(Attempt(Path(scratch), {}), interval_seconds=1e9)
            begin = time.perf_counter()
            lessons = WindowLessons(config, open_data(config, **world))
            run(config, model, Nothing(), lessons, live, checkpoints, 1e9)
            return time.perf_counter() - begin

        model = Transformer(TrainConfig(**CONFIG).model, seed=1)
        seconds_of(few)  # compiles
        return (seconds_of(many) - seconds_of(few)) / (many - few)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="time a training step, ours beside PyTorch")
    parser.add_argument("--peer", default="", help="an interpreter with PyTorch; none: the plain formulas")
    parser.add_argument("--preload", default="", help="an allocator for PyTorch with its loss in chunks")
    parser.add_argument("--sizes", choices=SHAPES, default="seed")
    parser.add_argument("--type", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--loop", action="store_true", help="what the loop costs around a step, instead")
    parser.add_argument("--arm", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    told = parse()
    if told.loop:
        print(f"the loop around a step: {1000 * seconds_of_loop():.2f} ms")
    else:
        work(told) if told.arm else main(told)
