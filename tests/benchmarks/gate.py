"""How often the gate errs, by simulation: ``python -m tests.benchmarks.gate [--comparisons 2000]``.

In: made-up documents whose truth is known: sizes over three powers of ten, documents that differ in difficulty,
models that differ by document (heavy-tailed) and by token. Out: tables of false promotions, power, refusals and
coverage, each share with its 95 % interval (Wilson 1927). In between: every verdict is the gate's own. Beside it
what others do: a z-test that does not pair, one that takes tokens for independent, and a fixed threshold.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from components.core.intervals import Group, estimate
from components.registry.comparison import Metric, detectable
from components.registry.config import Guardrail, PromoteConfig
from components.registry.gate import judge, settings_of

DOCUMENTS = 200
TOKEN_NOISE, DOCUMENT_NOISE, DIFFICULTY = 0.5, 0.03, 0.3
THRESHOLD = 0.005  # bits per byte: the fixed bar beside ours
CONFIG = PromoteConfig()


@dataclass(frozen=True)
class World:
    """Documents scored by two models; the challenger is worse by ``change`` bits per byte in truth."""

    sizes: np.ndarray
    champion: np.ndarray
    challenger: np.ndarray
    change: float

    def metrics(self, name: str = "bits_per_byte") -> tuple[dict[str, Metric], dict[str, Metric]]:
        """Both models' scores as the gate takes them."""
        documents = tuple(f"{number:06}" for number in range(len(self.sizes)))
        slices = ((),) * len(documents)
        return tuple(
            {name: Metric(name, documents, documents, slices, totals, self.sizes)}
            for totals in (self.challenger, self.champion)
        )


def make_world(change: float, seed: int, num_documents: int = DOCUMENTS) -> World:
    """``change`` is the true difference of the ratios: what a document adds has mean 0 and knows nothing of sizes."""
    random = np.random.default_rng(seed)
    sizes = np.exp(random.normal(6, 1, num_documents)).clip(50, 30_000)
    champion = sizes * random.normal(1.5, DIFFICULTY, num_documents)
    effects = random.standard_t(5, num_documents) * DOCUMENT_NOISE
    tokens = random.normal(0, TOKEN_NOISE, num_documents) * np.sqrt(sizes)
    return World(sizes, champion, champion + sizes * (change + effects) + tokens, change)


def z_unpaired(world: World) -> tuple[float, float]:
    """Both models' ratios with their own errors, as if they had been measured on different documents."""
    groups = [Group(world.challenger, world.sizes, 1.0), Group(world.champion, world.sizes, -1.0)]
    found = estimate(groups, level=0.95, num_resamples=200, seed=1)
    return found.value - 1.96 * found.error, found.value + 1.96 * found.error


def z_of_tokens(world: World) -> tuple[float, float]:
    """The paired difference, every byte taken for independent of the others of its document."""
    total = world.sizes.sum()
    value, error = (world.challenger - world.champion).sum() / total, TOKEN_NOISE / math.sqrt(total)
    return value - 1.96 * error, value + 1.96 * error


def outcome_of(change: float, seed: int) -> str:
    """The gate's verdict on one world."""
    return judge(*make_world(change, seed).metrics(), CONFIG).outcome


def guardrail_state(change: float, margin: float, seed: int) -> str:
    """The state of a guardrail of that margin on one world."""
    config = PromoteConfig(guardrails=(Guardrail(name="g", metric="bits_per_byte", margin=margin),))
    return judge(*make_world(change, seed).metrics(), config).guardrails[0].state


def others_promote(change: float, seed: int) -> tuple[bool, bool, bool]:
    """Whether the three others would promote."""
    world = make_world(change, seed)
    value = (world.challenger - world.champion).sum() / world.sizes.sum()
    return z_unpaired(world)[1] < 0, z_of_tokens(world)[1] < 0, value < -THRESHOLD


def covered(change: float, num_documents: int, seed: int) -> tuple[bool, bool, bool]:
    """Whether 95 % intervals of ours, of the unpaired z-test and of the tokens hold the truth."""
    world = make_world(change, seed, num_documents)
    groups = [Group(world.challenger, world.sizes, 1.0), Group(world.champion, world.sizes, -1.0)]
    ours = estimate(groups, level=0.95, num_resamples=2000, seed=seed, is_paired=True)
    ends = (ours.low, ours.high), z_unpaired(world), z_of_tokens(world)
    return tuple(low <= change <= high for low, high in ends)


def any_promoted(num_looks: int, is_paid: bool, seed: int) -> bool:
    """Whether one of many equal challengers is promoted on the same documents."""
    looks = ((look if is_paid else 1, make_world(0.0, seed)) for look in range(1, num_looks + 1))
    for number, (look, world) in enumerate(looks):
        random = np.random.default_rng([seed, number])
        effects = world.sizes * random.standard_t(5, DOCUMENTS) * DOCUMENT_NOISE
        again = World(world.sizes, world.champion, world.champion + effects, 0.0)
        if judge(*again.metrics(), CONFIG, look).outcome == "promote":
            return True
    return False


def share(hits: int, count: int) -> str:
    """A share with its 95 % interval (Wilson 1927)."""
    p, z = hits / count, 1.96
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return f"{100 * p:.1f} % ({100 * max(0.0, centre - half):.1f} to {100 * min(1.0, centre + half):.1f})"


def run(pool: ProcessPoolExecutor, function: Callable[..., object], count: int) -> Iterator[object]:
    """The function of ``count`` seeds."""
    return pool.map(function, range(count), chunksize=25)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def decisions(pool: ProcessPoolExecutor, count: int) -> None:
    """A/A, power at the detectable size, and regressions of once and twice that size."""
    size = typical_detectable()
    rows = []
    for name, change, number in (
        ("equal models (A/A)", 0.0, count), ("better by the detectable size", -size, count // 4),
        ("worse by the detectable size", size, count // 4), ("worse by twice that", 2 * size, count // 4),
    ):  # fmt: skip
        ours = Counter(run(pool, partial(outcome_of, change), number))
        others = np.array(list(run(pool, partial(others_promote, change), number))).sum(axis=0)
        refused = share(number - ours["promote"], number)
        rows.append([f"{name}, {number:,}", share(ours["promote"], number), refused, share(ours["keep"], number),
                     *(share(int(hits), number) for hits in others)])  # fmt: skip
    table(f"Decisions on {DOCUMENTS} documents; detectable size {size:.4f} bits per byte",
          ["truth, comparisons", "ours promotes", "ours refuses", "ours says keep", "unpaired z promotes",
           "z over bytes promotes", f"fixed threshold {THRESHOLD} promotes"], rows)  # fmt: skip


def guardrails(pool: ProcessPoolExecutor, count: int) -> None:
    """Non-inferiority: passes at a regression of exactly the margin (an error) and at equality (power)."""
    size = typical_detectable()
    margin, rows = 1.5 * size, []
    truths = {"equal": 0.0, "worse by the margin": margin, "worse by the margin and twice the size": margin + 2 * size}
    for name, change in truths.items():
        states = Counter(run(pool, partial(guardrail_state, change, margin), count))
        rows.append([name, *(share(states[state], count) for state in ("holds", "unclear", "broken"))])
    title = f"A guardrail of margin {margin:.4f}, {count:,} comparisons each"
    table(title, ["truth", "holds", "unclear", "broken"], rows)


def coverage(pool: ProcessPoolExecutor, count: int) -> None:
    """How often 95 % intervals hold the truth."""
    rows = []
    for num_documents in (20, 50, 100, 200, 400):
        hits = np.array(list(run(pool, partial(covered, 0.01, num_documents), count))).sum(axis=0)
        rows.append([f"{num_documents}", *(share(int(hit), count) for hit in hits)])
    table(f"Coverage of 95 % intervals, {count:,} worlds each",
          ["documents", "ours (paired, by document)", "unpaired z", "z over bytes"], rows)  # fmt: skip


def looks(pool: ProcessPoolExecutor, count: int) -> None:
    """Eight equal challengers in a row on the same documents."""
    rows = [[name, share(sum(map(bool, run(pool, partial(any_promoted, 8, paid), count))), count)]
            for name, paid in (("paid for (ours)", True), ("not paid for", False))]  # fmt: skip
    table(f"Any of eight equal challengers promoted, {count:,} series", ["looks", "wrong promotions"], rows)


def typical_detectable() -> float:
    """The detectable size of these worlds at the first look."""
    settings = settings_of(CONFIG, 1)
    found = [judge(*make_world(0.0, seed).metrics(), CONFIG).primary.estimate for seed in range(10)]
    return float(np.mean([detectable(one, settings) for one in found]))


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=2000, help="A/A comparisons (default: 2000)")
    count = parser.parse_args().comparisons
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        decisions(pool, count)
        guardrails(pool, count // 4)
        coverage(pool, count)
        looks(pool, count // 10)


if __name__ == "__main__":
    main()
