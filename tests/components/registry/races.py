"""Many processes that want to write the same ledger entry at once, on a real database.

``python -m tests.components.registry.races [--rounds 50]`` prints how many won each round, on SQLite and PostgreSQL.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from components.core.keys import load_key
from components.core.lock import WORKSPACE_VARIABLE
from components.registry import ledger, look, store
from components.registry.promotion import Registry
from tests.components.registry.servers import ABSENT, has_postgres, postgres

NAME, PROCESSES = "raced", 8


def run(folder, address, rounds):
    """Numbers of winners by round, and the seconds that it took; every reader then agrees on one chain."""
    os.environ.update({WORKSPACE_VARIABLE: str(folder), "MLFLOW_TRACKING_URI": address})
    os.environ.pop("MLFLOW_REGISTRY_URI", None)
    load_key()
    registry = open_registry()
    registry.client.create_registered_model(NAME)
    registry.client.create_model_version(NAME, str(folder), tags={look.DIGEST: "0" * 64})
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    racers = [context.Process(target=race, args=(n, rounds, barrier, results)) for n in range(PROCESSES)]
    begin = time.monotonic()
    for racer in racers:
        racer.start()
    wins = Counter(number for _ in racers for number in results.get(timeout=500))
    for racer in racers:
        racer.join()
    entries = registry.ledger().entries
    if len(entries) != rounds:
        raise AssertionError(f"{len(entries)} entries after {rounds} rounds")
    return [wins[number] for number in range(rounds)], time.monotonic() - begin


def race(number, rounds, barrier, results):
    """One racer: in each round all look, wait for one another, and write."""
    registry, won = open_registry(), []
    (version,) = registry.versions()
    for this in range(rounds):
        seen = registry.ledger()
        barrier.wait(timeout=300)
        draft = ledger.Draft("promoted", seen.champion_digest, f"{this:04}{number:060}", "", "", {})
        if ledger.append(registry.client, seen, draft, version) is not None:
            won.append(this)
        barrier.wait(timeout=300)
    results.put(won)


def open_registry():
    found = store.find_store()
    return Registry(store.connect(found), found, NAME)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    for name in ("SQLite", "PostgreSQL"):
        if name == "PostgreSQL" and not has_postgres():
            print(ABSENT)
            continue
        with tempfile.TemporaryDirectory() as folder:
            address = nullcontext(f"sqlite:///{folder}/mlflow.db") if name == "SQLite" else postgres()
            with address as where:
                wins, seconds = run(Path(folder), where, rounds)
        print(
            f"{name}: {PROCESSES} processes, {rounds} rounds, winners per round {dict(Counter(wins))}, {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
