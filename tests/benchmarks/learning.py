"""How fast a model learns real text, ours beside plain PyTorch of the same shape: on a graphics card or a processor.

    python -m tests.benchmarks.learning --text input.txt --peer /path/to/python/with/torch
    python -m tests.benchmarks.learning --ours jax --sizes gpt_2_small --batch 32 --steps 200 --rate 6e-4 …

In: a text, and two interpreters: this one, which needs Keras, pydantic and a backend (for a graphics card a CUDA build
of JAX), and one with PyTorch. Out: for each, at equal steps on equal batches: loss on the whole last tenth of the text,
tokens per second, share of the measured peak of matrix products, seconds. In between: each learns in a process of its
own, one after the other; compiling is told apart from learning. Tokens are the text's characters, or its bytes where
the sizes have room for more. The PyTorch model is compiled, in bfloat16 by autocast, with flash attention where there
is a graphics card (``tests.benchmarks.torch_gpt``).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZES: dict[str, dict[str, int]] = {
    "debug": {"vocabulary_size": 256, "context_tokens": 32, "width": 32, "num_layers": 2, "num_heads": 2,
              "feed_forward_width": 64},
    "character": {"vocabulary_size": 256, "context_tokens": 64, "width": 128, "num_layers": 4, "num_heads": 4,
                  "feed_forward_width": 512},
    "character_gpu": {"vocabulary_size": 256, "context_tokens": 256, "width": 384, "num_layers": 6, "num_heads": 6,
                      "feed_forward_width": 1536},
    "gpt_2_small": {"vocabulary_size": 50_257, "context_tokens": 1024, "width": 768, "num_layers": 12, "num_heads": 12,
                    "feed_forward_width": 3072},
}  # fmt: skip
WARM_STEPS = 3


def main() -> None:
    """Let each learn in turn and print a line for each."""
    options = parse()
    print(f"{'':12} {'nats':>7} {'tokens/s':>10} {'of peak':>8} {'seconds':>8} {'processor':>10} {'compiling':>10}")
    for role, python in ((options.ours, sys.executable), ("torch", options.peer)):
        if python:
            told = learn_elsewhere(python, role, options)
            print(
                f"{role:12} {told['validation_loss']:7.4f} {told['tokens_per_second']:10,.0f} {told['share']:8.1%} "
                f"{told['seconds']:8.1f} {told['processor_seconds']:10.1f} {told['compile_seconds']:10.1f}"
            )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="learn a text, ours beside PyTorch")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--peer", default="", help="an interpreter with PyTorch; none: ours alone")
    parser.add_argument("--ours", choices=["tensorflow", "jax"], default="tensorflow")
    parser.add_argument("--sizes", choices=SIZES, default="character")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--type", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--accumulations", type=int, default=1)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    return parser.parse_args()


def learn_elsewhere(python: str, role: str, options: argparse.Namespace) -> dict[str, float]:
    arguments = [f"--{name}={value}" for name, value in vars(options).items() if name != "role" and value]
    command = [python, "-W", "ignore", "-m", "tests.benchmarks.learning", f"--role={role}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def learn(options: argparse.Namespace) -> dict[str, float]:
    """Learn for all steps; what the parent prints."""
    sizes = SIZES[options.sizes]
    train, validation = read_text(options.text)
    learner = (TorchLearner if options.role == "torch" else KerasLearner)(options, sizes)
    random, seconds, begin = np.random.default_rng(1), [], time.perf_counter()
    for number in range(options.steps):
        if number == WARM_STEPS:
            learner.wait()
            compile_seconds, begin, used = time.perf_counter() - begin, time.perf_counter(), time.process_time()
        before = time.perf_counter()
        learner.step(draw(train, random, options.batch, sizes["context_tokens"]), rate(number, options))
        seconds.append(time.perf_counter() - before)
    learner.wait()
    wall, processor = time.perf_counter() - begin, time.process_time() - used
    num_tokens = options.batch * sizes["context_tokens"] * (options.steps - WARM_STEPS)
    windows = np.lib.stride_tricks.sliding_window_view(validation, sizes["context_tokens"] + 1)
    share = num_tokens / wall * operations_per_token(sizes) / learner.peak()
    print(f"median step {1000 * statistics.median(seconds):.2f} ms", file=sys.stderr)
    return {
        "validation_loss": learner.loss(windows[:: sizes["context_tokens"]]),
        "tokens_per_second": num_tokens / wall, "share": share, "seconds": wall, "processor_seconds": processor,
        "compile_seconds": compile_seconds,
    }  # fmt: skip


def read_text(path: Path) -> tuple[Any, Any]:
    """The first nine tenths and the last, as numbers of bytes."""
    data = np.frombuffer(path.read_bytes(), np.uint8).astype(np.int32)
    cut = len(data) * 9 // 10
    return data[:cut], data[cut:]


def draw(tokens: Any, random: np.random.Generator, batch: int, context: int) -> Any:
    starts = random.integers(0, len(tokens) - context, batch)
    return np.stack([tokens[start : start + context + 1] for start in starts])


def rate(step: int, options: argparse.Namespace, warmup: int = 100) -> float:
    """NanoGPT's: a straight rise, then half a cosine to a tenth."""
    if step < warmup:
        return options.rate * (step + 1) / warmup
    return options.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / max(1, options.steps - warmup))))


def operations_per_token(sizes: dict[str, int]) -> int:
    """As ``components.train.throughput`` counts them, which the interpreter of PyTorch need not have."""
    projections = 4 * sizes["width"] ** 2 + 2 * sizes["width"] * sizes["feed_forward_width"]
    attention = sizes["width"] * sizes["context_tokens"]
    return 6 * (sizes["num_layers"] * (projections + attention) + sizes["width"] * sizes["vocabulary_size"])


class KerasLearner:
    """Ours, by the role's backend."""

    def __init__(self, options: argparse.Namespace, sizes: dict[str, int]) -> None:
        from components.model.backends import settle_backend

        settle_backend(options.role)
        from components.model import ModelConfig
        from components.model.transformer import Transformer

        if options.role == "jax":
            from components.train.backends.jax import JaxStep as Step
        else:
            from components.train.backends.tensorflow import TensorFlowStep as Step
        self.options, self.last = options, None
        self.model = Transformer(ModelConfig(**sizes), seed=1, compute_type=options.type)
        self._step = Step(self.model, weight_decay=0.1, clip_norm=1.0, num_accumulations=options.accumulations)

    def step(self, windows: Any, learning_rate: float) -> None:
        take = self._step.launch if self.options.role == "jax" else self._step
        self.last = take(windows, learning_rate)

    def wait(self) -> None:
        float(self.last[0])

    def loss(self, windows: Any) -> float:
        from components.model.scoring import token_losses

        return float(token_losses(self.model, windows).mean(dtype="float64"))

    def peak(self) -> float:
        if self.options.role == "tensorflow":
            from components.train.backends.tensorflow import measure_peak

            return measure_peak(self.options.type, len(os.sched_getaffinity(0)))
        import jax
        from jax import numpy as jnp

        product = jax.jit(lambda x: x @ x)
        return fastest(lambda x: product(x).block_until_ready(), lambda size: jnp.ones((size, size), self.options.type))


class TorchLearner:
    """The peer."""

    def __init__(self, options: argparse.Namespace, sizes: dict[str, int]) -> None:
        import torch

        from tests.benchmarks.torch_gpt import GPT, Sizes, Step

        torch.manual_seed(1)
        torch.set_float32_matmul_precision("high")
        self.torch, self.options = torch, options
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = GPT(Sizes(**sizes)).to(self.device)
        self._step = Step(self.model, compute_type=options.type)

    def step(self, windows: Any, learning_rate: float) -> None:
        self._step.launch(windows, learning_rate)

    def wait(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def loss(self, windows: Any) -> float:
        parts = np.array_split(windows, max(1, windows[:, 1:].size // 8192))
        with self.torch.no_grad():
            sums = [self._loss(part) * part[:, 1:].size for part in parts]
        return sum(sums) / windows[:, 1:].size

    def _loss(self, windows: Any) -> float:
        return float(self.model.loss(self.torch.as_tensor(windows, device=self.device).long()))

    def peak(self) -> float:
        kind = getattr(self.torch, self.options.type)

        def multiply(x: Any) -> None:
            x @ x
            self.wait()

        return fastest(multiply, lambda size: self.torch.ones((size, size), dtype=kind, device=self.device))


def fastest(multiply: Any, make: Any) -> float:
    """FLOP/s of the fastest square matrix product among a few sizes."""
    found = []
    for size in (1024, 2048, 4096):
        x, times = make(size), []
        for _ in range(4):
            begin = time.perf_counter()
            multiply(x)
            times.append(time.perf_counter() - begin)
        found.append(2 * size**3 / min(times))
    return max(found)


if __name__ == "__main__":
    told = parse()
    print(json.dumps(learn(told))) if told.role else main()
