"""What a step of fine-tuning costs by the shape of its rows, and how full they are.

    python -m tests.benchmarks.finetuning

In: SST-2's sentences as prompts (the folder of shared data), a model of the seed's sizes. Out: a table. In between:
each shape holds about 2,048 tokens and trains the same model for real; windows of the whole context stand for examples
packed one behind the other, whose attention would look at whole windows.
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from components.model import ModelConfig
from components.model.transformer import Transformer
from components.tokenizer.codec import Codec
from components.tokenizer.learning import learn
from components.train.backends import Answers
from components.train.backends.tensorflow import TensorFlowStep
from components.train.mixture import choose_widths
from components.train.processor import processor_flags, resolve_compute_type
from tests.worlds import SHARED_DATA

SIZES = ModelConfig()
SHAPES = ((4, 512), (16, 128), (32, 64), (84, 24))
NUM_STEPS = 9


def main() -> None:
    """Print both tables."""
    compute_type = resolve_compute_type("auto", processor_flags(), is_gpu=False)
    step = TensorFlowStep(Transformer(SIZES, seed=1, compute_type=compute_type), weight_decay=0.1, clip_norm=1.0)
    print(f"{compute_type}; rows × tokens | first step, s | a step, ms: every token / 3 answer tokens a row | tokens/s")
    for shape in SHAPES:
        whole, answers = measure(step, shape, ()), measure(step, shape, answers_of(*shape))
        rate = shape[0] * shape[1] / answers[1]
        times = f"{1e3 * whole[1]:.0f} / {1e3 * answers[1]:.0f}"
        print(f"{shape[0]} × {shape[1]} | {answers[0]:.1f} | {times} | {rate:,.0f}")
    lengths = lengths_of_sst2()
    for most in range(1, 6):
        widths = choose_widths(lengths, most, SIZES.context_tokens)
        rows = widths[np.searchsorted(widths, lengths)]
        print(f"SST-2, {most} lengths of rows {widths.tolist()}: {lengths.sum() / rows.sum():.0%} full")


def measure(step: TensorFlowStep, shape: tuple[int, int], answers: Answers | tuple[()]) -> tuple[float, float]:
    """Seconds of the first step, which compiles, and of one of the others."""
    random, seconds = np.random.default_rng(1), []
    for _ in range(NUM_STEPS):
        windows = random.integers(0, SIZES.vocabulary_size, (shape[0], shape[1] + 1), np.int32)
        begin = time.perf_counter()
        step(windows, 1e-3, answers)
        seconds.append(time.perf_counter() - begin)
    return seconds[0], median(seconds[1:])


def answers_of(num_rows: int, num_tokens: int) -> Answers:
    """The last three tokens of each row."""
    places = np.tile(np.arange(num_tokens - 3, num_tokens, dtype=np.int32), (num_rows, 1))
    return Answers(places, np.ones(places.shape, np.float32))


def lengths_of_sst2() -> np.ndarray:
    """Tokens of each sentence of the training part, with a label and both ends."""
    lines = (SHARED_DATA / "sst2" / "stsa.binary.train").read_text().splitlines()
    texts = [line.partition(" ")[2] for line in lines]
    codec = Codec(learn([texts], 10_000, 2))
    return np.array([len(tokens) + 3 for tokens in codec.encode_all(texts)])


if __name__ == "__main__":
    main()
