"""How fast a model learns real text, ours beside plain PyTorch of the same shape: on a graphics card or a processor.

    python -m tests.benchmarks.learning --text input.txt --peer /path/to/python/with/torch
    python -m tests.benchmarks.learning --ours jax --sizes gpt_2_small --batch 32 --steps 200 --rate 6e-4 …

In: a text, and two interpreters: this one, which needs Keras, pydantic and a backend (for a graphics card a CUDA build
of JAX), and one with PyTorch (it may be the same). Out: for each, at equal steps on equal batches: loss on the whole
last tenth of the text, tokens per second, share of the fastest matrix products that either measured, seconds. In
between: both are alive at once and take turns of some steps, so that what else the machine does falls on both; the
first steps, which compile, are told apart. Tokens are the text's characters, or its bytes where the sizes have room
for more. The PyTorch model is compiled, in bfloat16 by autocast, with flash attention where there is a graphics card
(``tests.benchmarks.torch_gpt``). The first weights are drawn from the same distributions, not from the same numbers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZES: dict[str, dict[str, Any]] = {
    "debug": {"vocabulary_size": 256, "context_tokens": 32, "width": 32, "num_layers": 2, "num_heads": 2,
              "feed_forward_width": 64},
    "character": {"vocabulary_size": 256, "context_tokens": 64, "width": 128, "num_layers": 4, "num_heads": 4,
                  "feed_forward_width": 512},
    # As large, with the choices of Llama, which PyTorch's peer does not know.
    "character_llama": {"vocabulary_size": 256, "context_tokens": 128, "width": 128, "num_layers": 4, "num_heads": 4,
                        "feed_forward_width": 512, "norm": "rms_norm", "activation": "swiglu", "positions": "rotary"},
    "character_gpu": {"vocabulary_size": 256, "context_tokens": 256, "width": 384, "num_layers": 6, "num_heads": 6,
                      "feed_forward_width": 1536},
    "gpt_2_small": {"vocabulary_size": 50_257, "context_tokens": 1024, "width": 768, "num_layers": 12, "num_heads": 12,
                    "feed_forward_width": 3072},
}  # fmt: skip
WARM_STEPS = 3


def main() -> None:
    """Let both learn in turns and print a line for each."""
    options = parse()
    learners = {role: start(python, role, options) for role, python in roles(options).items()}
    compiling = {role: ask(learner, WARM_STEPS)[0] for role, learner in learners.items()}
    turns: dict[str, list[Any]] = {role: [] for role in learners}
    for done in range(WARM_STEPS, options.steps, options.turn):
        for role, learner in learners.items():
            turns[role].append(ask(learner, min(options.turn, options.steps - done)))
    found = {role: ask(learner, 0) for role, learner in learners.items()}
    peak = max(peak for _, peak in found.values())
    num_tokens = options.batch * SIZES[options.sizes]["context_tokens"] * (options.steps - WARM_STEPS)
    print(f"{'':12} {'nats':>7} {'tokens/s':>10} {'of peak':>8} {'seconds':>8} {'processor':>10} {'compiling':>10}")
    for role, times in turns.items():
        wall, processor = (sum(column) for column in zip(*times, strict=True))
        share = num_tokens / wall * operations_per_token(SIZES[options.sizes]) / peak
        print(
            f"{role:12} {found[role][0]:7.4f} {num_tokens / wall:10,.0f} {share:8.1%} {wall:8.1f} {processor:10.1f} "
            f"{compiling[role]:10.1f}"
        )


def roles(options: argparse.Namespace) -> dict[str, str]:
    """Who learns, and by which interpreter."""
    return {options.ours: sys.executable} | ({"torch": options.peer} if options.peer else {})


def start(python: str, role: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    arguments = [f"--{name}={value}" for name, value in vars(options).items() if name != "role" and value]
    command = [python, "-W", "ignore", "-m", "tests.benchmarks.learning", f"--role={role}", *arguments]
    # JAX would take three quarters of a card's memory, and leave the other one too little.
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(learner: subprocess.Popen[str], num_steps: int) -> tuple[float, float]:
    """Seconds of wall and of processors of so many steps; for none, the loss and the peak in FLOP/s, and the end."""
    print(num_steps, file=learner.stdin, flush=True)
    first, second = json.loads(learner.stdout.readline())
    return first, second


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="learn a text, ours beside PyTorch")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--peer", default="", help="an interpreter with PyTorch; none: ours alone")
    parser.add_argument("--ours", choices=["tensorflow", "jax"], default="tensorflow")
    parser.add_argument("--sizes", choices=SIZES, default="character")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--final", type=float, default=0.1, help="the last learning rate, as a share of the highest")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--type", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--accumulations", type=int, default=1)
    parser.add_argument("--turn", type=int, default=100, help="steps that one takes before it is the other's turn")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    return parser.parse_args()


def learn(options: argparse.Namespace) -> None:
    """Answer each line of ``ask``."""
    sizes, random, number = SIZES[options.sizes], np.random.default_rng(1), 0
    train, validation = read_text(options.text)
    learner = (TorchLearner if options.role == "torch" else KerasLearner)(options, sizes)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            learner.step(draw(train, random, options.batch, sizes["context_tokens"]), rate(number, options))
            number += 1
        if not int(line):
            windows = np.lib.stride_tricks.sliding_window_view(validation, sizes["context_tokens"] + 1)
            print(json.dumps([learner.loss(windows[:: sizes["context_tokens"]]), learner.peak()]), flush=True)
            return
        learner.wait()
        print(json.dumps([time.perf_counter() - wall, time.process_time() - processor]), flush=True)


def read_text(path: Path) -> tuple[Any, Any]:
    """The first nine tenths and the last, as numbers of bytes."""
    data = np.frombuffer(path.read_bytes(), np.uint8).astype(np.int32)
    cut = len(data) * 9 // 10
    return data[:cut], data[cut:]


def draw(tokens: Any, random: np.random.Generator, batch: int, context: int) -> Any:
    starts = random.integers(0, len(tokens) - context, batch)
    return np.stack([tokens[start : start + context + 1] for start in starts])


def rate(step: int, options: argparse.Namespace, warmup: int = 100) -> float:
    """NanoGPT's: a straight rise, then half a cosine, there to a tenth."""
    if step < warmup:
        return options.rate * (step + 1) / warmup
    left = (1 + math.cos(math.pi * (step - warmup) / max(1, options.steps - warmup))) / 2
    return options.rate * (options.final + (1 - options.final) * left)


def operations_per_token(sizes: dict[str, Any]) -> int:
    """As ``components.train.throughput`` counts them, which the interpreter of PyTorch need not have."""
    feed_forward = (3 if sizes.get("activation") == "swiglu" else 2) * sizes["feed_forward_width"]
    projections = sizes["width"] * (4 * sizes["width"] + feed_forward)
    attention = sizes["width"] * sizes["context_tokens"]
    return 6 * (sizes["num_layers"] * (projections + attention) + sizes["width"] * sizes["vocabulary_size"])


class KerasLearner:
    """Ours, by the role's backend."""

    def __init__(self, options: argparse.Namespace, sizes: dict[str, Any]) -> None:
        from components.model.backends import settle_backend

        settle_backend(options.role)
        from components.model import ModelConfig
        from components.model.transformer import Transformer

        if options.role == "jax":
            from components.train.backends.jax import JaxStep as Step
        else:
            from components.train.backends.tensorflow import TensorFlowStep as Step
        self.options, self.last = options, None
        self.model = Transformer(ModelConfig(**sizes, dropout=options.dropout), seed=1, compute_type=options.type)
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
        from components.train.backends import backend

        return backend(self.options.role).measure_peak(self.options.type, len(os.sched_getaffinity(0)))


class TorchLearner:
    """The peer."""

    def __init__(self, options: argparse.Namespace, sizes: dict[str, Any]) -> None:
        import torch

        from tests.benchmarks.torch_gpt import GPT, Sizes, Step

        torch.manual_seed(1)
        torch.set_float32_matmul_precision("high")
        self.torch, self.options = torch, options
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = GPT(Sizes(**sizes, dropout=options.dropout)).to(self.device)
        self._step = Step(self.model, compute_type=options.type)

    def step(self, windows: Any, learning_rate: float) -> None:
        self._step.launch(windows, learning_rate)

    def wait(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def loss(self, windows: Any) -> float:
        self.model.eval()
        parts = np.array_split(windows, max(1, windows[:, 1:].size // 8192))
        with self.torch.no_grad(), self._step.autocast:
            sums = [self._loss(part) * part[:, 1:].size for part in parts]
        return sum(sums) / windows[:, 1:].size

    def _loss(self, windows: Any) -> float:
        return float(self.model.loss(self.torch.as_tensor(windows, device=self.device).long()))

    def peak(self) -> float:
        kind = getattr(self.torch, self.options.type)

        def multiply(x: Any) -> None:
            x @ x
            self.wait()

        sizes = (2048, 4096, 8192) if self.device == "cuda" else (1024, 2048)
        return fastest(multiply, lambda size: self.torch.ones((size, size), dtype=kind, device=self.device), sizes)


def fastest(multiply: Any, make: Any, sizes: Sequence[int] = (1024, 2048)) -> float:
    """FLOP/s of the fastest square matrix product among a few sizes."""
    found = []
    for size in sizes:
        x, times = make(size), []
        for _ in range(4):
            begin = time.perf_counter()
            multiply(x)
            times.append(time.perf_counter() - begin)
        found.append(2 * size**3 / min(times))
    return max(found)


if __name__ == "__main__":
    told = parse()
    learn(told) if told.role else main()
