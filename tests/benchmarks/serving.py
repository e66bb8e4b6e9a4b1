"""How fast the server writes, beside an eager PyTorch decoder with a KV cache of the same shape.

    python -m tests.benchmarks.serving decode [--torch PYTHON]   tokens/s of one text and of 32, no HTTP
    python -m tests.benchmarks.serving http [FOLDER]             the same through HTTP, and the time to the first token
    python -m tests.benchmarks.serving soak SECONDS              mixed load, promotions and rollbacks; memory

PYTHON is an interpreter that has PyTorch 2.13 (``python -m venv …; pip install torch==2.13.0``); both decoders take
turns, half a second each, one thread each where one text is written. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from components.model import ModelConfig
from tests.components.serve.test_versions import ask as ask_one
from tests.components.serve.test_versions import texts_by_version
from tests.components.serve.world import Server, make_version, publish, running

SHAPES = {
    "default recipe: 4 layers, 128 wide": ModelConfig(),
    "medium: 6 layers, 384 wide": ModelConfig(width=384, num_layers=6, num_heads=6, feed_forward_width=1536),
}
NUM_STREAMS, NUM_TOKENS, PROMPT_TOKENS = 32, 128, 64
SECONDS_PER_TURN, NUM_TURNS = 0.5, 4

# The plain decoder that one writes first in PyTorch: fused attention, in-place cache, no compilation.
TORCH = """
import json, sys, time, torch
import torch.nn.functional as F
sizes, seconds, prompt, count = json.loads(sys.argv[1]), *map(float, sys.argv[2:5])
torch.set_num_threads(int(sys.argv[5]))
V, C, D, L, H, I = (sizes[k] for k in ("vocabulary_size", "context_tokens", "width", "num_layers", "num_heads",
                                       "feed_forward_width"))
R = lambda *shape: torch.randn(*shape) * 0.05
token, position, g, b = R(V, D), R(C, D), R(D) + 1, R(D)
blocks = [dict(g=R(D) + 1, b=R(D), qkv=R(3 * D, D), o=R(D, D), h=R(D) + 1, c=R(D), w=R(I, D), x=R(I), y=R(D, I),
               z=R(D)) for _ in range(L)]

@torch.inference_mode()
def step(tokens, t, keys, values):
    n = len(tokens)
    x = token[tokens] + position[t]
    for k, v, w in zip(keys, values, blocks):
        q, new_k, new_v = F.linear(F.layer_norm(x, (D,), w["g"], w["b"]), w["qkv"]).view(n, 3, H, 1, D // H).unbind(1)
        k[:, :, t : t + 1], v[:, :, t : t + 1] = new_k, new_v
        a = F.scaled_dot_product_attention(q, k[:, :, : t + 1], v[:, :, : t + 1]).reshape(n, D)
        x = x + F.linear(a, w["o"])
        x = x + F.linear(F.gelu(F.linear(F.layer_norm(x, (D,), w["h"], w["c"]), w["w"], w["x"])), w["y"], w["z"])
    return F.linear(F.layer_norm(x, (D,), g, b), token).argmax(-1)

caches = {}
for line in sys.stdin:
    n = int(line)
    if n not in caches:
        caches[n] = [[torch.zeros(n, H, C, D // H) for _ in range(L)] for _ in range(2)]
    tokens, done, cpu, end = torch.zeros(n, dtype=torch.long), 0, time.process_time(), time.perf_counter() + seconds
    began = time.perf_counter()
    while time.perf_counter() < end:
        for t in range(int(prompt), int(prompt + count)):
            tokens = step(tokens, t, *caches[n])
        done += n * int(count)
    print(json.dumps([done / (time.perf_counter() - began), done / (time.process_time() - cpu)]), flush=True)
"""


def random_weights(config: ModelConfig) -> dict[str, object]:
    import numpy as np

    from components.model.decoding import weight_shapes

    generator = np.random.default_rng(0)
    shapes = weight_shapes(config).items()
    return {name: 0.05 * generator.standard_normal(shape).astype(np.float32) for name, shape in shapes}


class Ours:
    """Our lanes without HTTP, the same prompt length and number of tokens."""

    def __init__(self, config: ModelConfig) -> None:
        from components.model.decoding import prepare
        from components.serve.engine import Engine

        self._news, self._config = threading.Event(), config
        self._engine = Engine(config, prepare(config, random_weights(config)), num_slots=NUM_STREAMS,
                              wake=lambda _tickets: self._news.set())  # fmt: skip

    def rate(self, num_texts: int) -> tuple[float, float]:
        """Tokens per second of wall time and of processor time while all texts are being written."""
        from components.model.decoding import Choice
        from components.serve.engine import Order

        began, cpu, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < SECONDS_PER_TURN:
            order = Order([1] * PROMPT_TOKENS, Choice(temperature=0), NUM_TOKENS, seed=1)
            tickets = [self._engine.submit(order) for _ in range(num_texts)]
            while not all(ticket.inbox and isinstance(ticket.inbox[-1], str) for ticket in tickets):
                self._news.wait()
                self._news.clear()
            done += num_texts * NUM_TOKENS
        return done / (time.perf_counter() - began), done / (time.process_time() - cpu)


class Torch:
    """The peer, in its own interpreter."""

    def __init__(self, python: str, config: ModelConfig, num_threads: int) -> None:
        arguments = [config.model_dump_json(), SECONDS_PER_TURN, PROMPT_TOKENS, NUM_TOKENS, num_threads]
        command = [python, "-c", TORCH, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def rate(self, num_texts: int) -> tuple[float, float]:
        print(num_texts, file=self._process.stdin, flush=True)
        wall, cpu = json.loads(self._process.stdout.readline())
        return wall, cpu

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def decode(torch_python: str | None) -> None:
    """Print tokens/s for each shape; our prompts are read within the time, the peer's are not."""
    for name, config in SHAPES.items():
        threads = (1, os.cpu_count() or 1) if torch_python else ()
        peers = {f"PyTorch eager, {n} threads": Torch(torch_python, config, n) for n in threads}
        print(name)
        for (label, count), found in take_turns({"ours": Ours(config), **peers}).items():
            wall, cpu = (statistics.median(values) for values in zip(*found, strict=True))
            print(f"  {label:26s} {count:3d} texts {wall:9.0f} tokens/s {cpu:9.0f} per processor second", flush=True)
        for peer in peers.values():
            peer.close()


def take_turns(decoders: dict[str, Ours | Torch]) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """The rates of every decoder, for one text and for many; the first turn, which compiles, is left out."""
    cases = [(label, count) for label in decoders for count in (1, NUM_STREAMS)]
    rates: dict[tuple[str, int], list[tuple[float, float]]] = {case: [] for case in cases}
    for turn in range(NUM_TURNS + 1):
        for label, count in cases:
            measured = decoders[label].rate(count)
            rates[label, count] += [measured] if turn else []
    return rates


def save_version(folder: Path, number: int, config: ModelConfig) -> None:
    make_version(folder, number, sizes=config)
    publish(folder, {number: ["champion"]})


def http(folder: Path | None) -> None:
    """Tokens/s and time to the first token through HTTP; the client takes part of the same processors."""
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            folder = Path(scratch) / "versions"
            save_version(folder, 1, ModelConfig(vocabulary_size=2000))
        began = time.monotonic()
        with running(folder, Path(scratch) / "log") as server:
            server.wait_ready()
            print(f"start to ready: {time.monotonic() - began:.2f} s")
            for stream in (False, True):
                for count in (1, NUM_STREAMS):
                    firsts, rate = load(server.url, count, stream)
                    told = (
                        f", first token p50 {firsts[0] * 1000:.0f} ms, p95 {firsts[1] * 1000:.0f} ms" if stream else ""
                    )
                    print(f"  {'streams' if stream else 'whole'} {count:3d}: {rate:8.0f} tokens/s{told}")


def load(url: str, count: int, stream: bool) -> tuple[tuple[float, float], float]:
    """``count`` clients at once, for three seconds each: median and 95th percentile of first tokens, tokens/s."""
    firsts, done, lock, end = [], [0], threading.Lock(), time.monotonic() + 3
    began = time.monotonic()

    def client(number: int) -> None:
        body = {"model": "tiny", "prompt": [1] * PROMPT_TOKENS, "max_tokens": NUM_TOKENS, "temperature": 0,
                "stream": stream, "stream_options": {"include_usage": True} if stream else None}  # fmt: skip
        with httpx.Client(timeout=60, trust_env=False) as session:
            while time.monotonic() < end:
                first, tokens = ask(session, url, body)
                with lock:
                    firsts.append(first)
                    done[0] += tokens

    threads = [threading.Thread(target=client, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    firsts.sort()
    return (firsts[len(firsts) // 2], firsts[int(len(firsts) * 0.95)]), done[0] / (time.monotonic() - began)


def ask(session: httpx.Client, url: str, body: dict[str, object]) -> tuple[float, int]:
    """Seconds to the first byte of the answer's body, and the number of tokens."""
    began, first, text = time.monotonic(), 0.0, b""
    with session.stream("POST", f"{url}/v1/completions", json=body) as answer:
        assert answer.status_code == 200, answer.read()
        for part in answer.iter_raw():
            first = first or time.monotonic() - began
            text += part
    last = text.rstrip().split(b"\n\n")[-2][6:] if body["stream"] else text
    return first, json.loads(last)["usage"]["completion_tokens"]


def soak(seconds: float) -> None:
    """Mixed load with a promotion and a rollback in the middle; every answer is compared with its version's text."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "versions"
        for number in (1, 2):
            make_version(folder, number)
        publish(folder, {1: ["champion"], 2: []})
        with running(folder, Path(scratch) / "log") as server:
            expected, count, end = texts_by_version(server.wait_ready()), [0], time.monotonic() + seconds
            faults: list[str] = []

            def is_wrong(models: set[str], digests: set[str], text: str) -> bool:
                return len(models) != 1 or len(digests) != 1 or text != expected[next(iter(models))]

            def client(number: int) -> None:
                chance = random.Random(number)
                while time.monotonic() < end:
                    if chance.random() < 0.1:
                        server.client.post("/v1/completions", json={"model": "tiny", "prompt": 5})  # is refused
                    answer = ask_one(server, chance.random() < 0.5)
                    count[0] += 1
                    faults.extend(answer[0] if is_wrong(*answer) else ())

            threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
            for thread in threads:
                thread.start()
            memory = promote_and_roll_back(server, folder, seconds)
            for thread in threads:
                thread.join()
            written = [line["status"] for line in server.requests if line["route"] == "/v1/completions"]
            failed = sum(status not in (200, 400) for status in written)
            print(f"{count[0]} answers in {seconds:.0f} s, {len(faults)} mixed or wrong, {failed} failed requests")
            third = memory[len(memory) // 3]
            print(f"memory: {third:.0f} MB after a third, {memory[-1]:.0f} MB at the end, {max(memory):.0f} at most")


def promote_and_roll_back(server: Server, folder: Path, seconds: float) -> list[float]:
    """Move the alias there and back while the load runs; megabytes of the process, again and again."""
    plan, memory, began = {0.35: {1: [], 2: ["champion"]}, 0.65: {1: ["champion"], 2: []}}, [], time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        for share in [share for share in plan if passed > share * seconds]:
            publish(folder, plan.pop(share))
        memory.append(server.memory_bytes() / 1e6)
        time.sleep(min(5.0, seconds / 20))
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("decode").add_argument("--torch")
    commands.add_parser("http").add_argument("folder", nargs="?", type=Path)
    commands.add_parser("soak").add_argument("seconds", type=float)
    options = parser.parse_args()
    if options.command == "decode":
        decode(options.torch)
    elif options.command == "http":
        http(options.folder)
    else:
        soak(options.seconds)


if __name__ == "__main__":
    sys.exit(main())
