"""Eight processes that promote a better model each, all at once, round after round, on a real database.

``python -m tests.components.registry.races [--rounds 50]`` prints how many won each round, on SQLite and PostgreSQL.

In each round all candidates are better than the champion and equal to one another: whoever is first must win, and
the seven others must be judged again, against the winner, and lose.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from components.core.keys import believe, load_key
from components.core.lock import WORKSPACE_VARIABLE
from components.provenance.place import PARTS, PROVENANCE, place_of
from components.registry import store
from components.registry.contents import Contents
from tests.components.registry.servers import ABSENT, has_postgres, postgres

NAME, PROCESSES = "raced", 8
STEP = 0.01  # bits per byte, by which the models of a round are better than those of the round before


class Race(NamedTuple):
    """How many won each round, how many entries there are, and the seconds that the rounds took."""

    winners: list[int]
    num_entries: int
    seconds: float


def run(folder, address, rounds):
    """Race, and check that every reader then agrees on one chain of champions."""
    enter(folder, address)
    believe(load_key().public_key())
    prepare(folder)
    registry = open_registry()
    registry.client.search_experiments()  # makes the tables of runs, which racers would all make at once
    registry.client.create_registered_model(NAME)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["components.registry.promotion", "mlflow", "tests.components.registry.world"])
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    racers = [
        context.Process(target=race, args=(folder, address, n, rounds, barrier, results)) for n in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    told = [results.get(timeout=600) for _ in racers]
    for racer in racers:
        racer.join()
    assert all(isinstance(one, float) for one in told), told
    ledger = registry.ledger()
    changes, champion = [entry for entry in ledger.entries if entry.kind == "promoted"], ""
    for entry in changes:
        assert entry.champion == champion, "a promotion over somebody else than the champion"
        champion = entry.version
    tags = {version.digest: version.tags["round"] for version in registry.versions()}
    wins = Counter(tags[entry.version] for entry in changes)
    return Race([wins[str(number)] for number in range(rounds)], len(ledger.entries), max(told))


def prepare(folder):
    """A model and a tokenizer that all candidates share."""
    from tests.components.registry.world import make_model, make_tokenizer

    for name in ("model", "tokenizer"):
        (folder / name).mkdir(parents=True)
    make_tokenizer(folder / "tokenizer")
    make_model(folder / "model", 0)


def enter(folder, address):
    """Work in this folder, with this registry; a forked racer has the surroundings of the first race that there was."""
    os.environ.update({WORKSPACE_VARIABLE: str(folder), "MLFLOW_TRACKING_URI": address})
    os.environ.pop("MLFLOW_REGISTRY_URI", None)


def race(folder, address, number, rounds, barrier, results):
    """Tell how long a racer took, or what went wrong with it, in which case nobody waits for it."""
    enter(folder, address)
    try:
        results.put(run_rounds(folder, number, rounds, barrier))
    except BaseException as error:
        barrier.abort()
        results.put(str(error) or repr(error))
        raise


def run_rounds(folder, number, rounds, barrier):
    """Register a model for each round, then promote them, each at the same moment as the others."""
    from components.registry import promotion
    from components.registry.comparison import read_metrics
    from components.registry.config import PromoteConfig

    registry, config = open_registry(), PromoteConfig(num_resamples=200)
    candidates = [candidate(registry, folder / f"racer{number}-{this}", number, this) for this in range(rounds)]
    barrier.wait(timeout=600)
    begin = time.monotonic()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        for digest, evaluation in candidates:
            promotion.promote(registry, promotion.Candidate(digest, read_metrics(evaluation), config))
            barrier.wait(timeout=600)
    return time.monotonic() - begin


def candidate(registry, folder, number, this):
    """A version with a complete, signed folder; its digest and evaluation."""
    from components.registry.versions import tags_of
    from tests.components.registry.world import attest_world, make_evaluation

    parts = {part: folder / "artifacts" / part for part in PARTS}
    for part in ("model", "tokenizer"):
        shutil.copytree(folder.parent / part, parts[part], copy_function=os.link)
    for part in ("evaluation", "finetuned", "assessments"):
        parts[part].mkdir()
    make_evaluation(parts["evaluation"], -STEP * this, seed=number)
    attest_world(folder, parts, NAME)
    for part in ("finetuned", "assessments"):
        parts[part].rmdir()  # a version has no empty folders
    contents = Contents.below(folder / "artifacts")
    shutil.move(place_of(contents.digest) / PROVENANCE, folder / "artifacts" / PROVENANCE)
    tags = {**tags_of(contents), "round": str(this)}
    registry.client.create_model_version(NAME, str(folder), tags=tags)
    return contents.digest, parts["evaluation"]


def open_registry():
    from components.registry.promotion import Registry

    found = store.find_store()
    return Registry(store.connect(found), found, NAME)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--database", choices=["SQLite", "PostgreSQL"], action="append")
    options = parser.parse_args()
    for name in options.database or ("SQLite", "PostgreSQL"):
        if name == "PostgreSQL" and not has_postgres():
            print(ABSENT)
            continue
        with tempfile.TemporaryDirectory() as folder:
            address = nullcontext(f"sqlite:///{folder}/mlflow.db") if name == "SQLite" else postgres()
            with address as where:
                found = run(Path(folder), where, options.rounds)
        told = f"{PROCESSES} processes, {options.rounds} rounds, winners per round {dict(Counter(found.winners))}"
        print(f"{name}: {told}, {found.num_entries} entries, {found.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
