"""How fast the server writes, beside an eager PyTorch decoder with a KV cache of the same shape.

    python -m tests.benchmarks.serving decode [--torch PYTHON]   tokens/s of one text and of 32, no HTTP
    python -m tests.benchmarks.serving http [FOLDER]             the same through HTTP, and the time to the first token
    python -m tests.benchmarks.serving soak SECONDS              mixed load, promotions and rollbacks; memory

PYTHON is an interpreter that has PyTorch 2.13 (``python -m venv …; pip install torch==2.13.0``); both decoders take
turns, half a second each, one thread each where one text is written. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from components.model import ModelConfig
from tests.components.serve.test_versions import ask as ask_one
from tests.components.serve.test_versions import texts_by_version
from tests.components.serve.world import Server, make_version, publish, running

SHAPES = {
    "default recipe: 4 layers, 128 wide": ModelConfig(),
    "medium: 6 layers, 384 wide": ModelConfig(width=384, num_layers=6, num_heads=6, feed_forward_width=1536),
    "GPT-2 small: 12 layers, 768 wide": ModelConfig(
        vocabulary_size=50257, width=768, num_layers=12, num_heads=12, feed_forward_width=3072
    ),
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

    def __init__(self, config: ModelConfig, *, one_byte: bool) -> None:
        from components.model.decoding import prepare
        from components.model.int8 import quantise
        from components.serve.engine import Engine

        self._news, self._config = threading.Event(), config
        arrays = quantise(random_weights(config)) if one_byte else random_weights(config)
        self._engine = Engine(config, prepare(config, arrays), num_slots=NUM_STREAMS,
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
        ours = {f"ours, {kind}": Ours(config, one_byte=kind == "int8") for kind in ("float32", "int8")}
        print(name)
        for (label, count), found in take_turns({**ours, **peers}).items():
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
    """Tokens/s and time to the first token through HTTP: of the versions in a folder, or of every shape."""
    if folder:
        serve(folder)
        return
    for name, config in SHAPES.items():
        print(name)
        with tempfile.TemporaryDirectory() as scratch:
            save_version(Path(scratch), 1, config)
            serve(Path(scratch))


def serve(folder: Path) -> None:
    """Print what a server of these versions reaches; the client takes part of the same processors."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, running(folder, Path(scratch) / "log") as server:
        server.wait_ready()
        print(f"  start to ready: {time.monotonic() - began:.2f} s")
        for stream in (False, True):
            for count in (1, NUM_STREAMS):
                print(f"  {'streams' if stream else 'whole'} {count:3d}: {load(server, count, stream)}", flush=True)


def load(server: Server, count: int, stream: bool, seconds: float = 4.0) -> str:
    """``count`` clients at once: tokens/s, time to the first token, and where the server's processor time went."""
    firsts: list[float] = []
    before, began = thread_seconds(server), time.monotonic()
    tokens = asyncio.run(clients(server.port, count, stream, began + seconds, firsts))
    wall, after = time.monotonic() - began, thread_seconds(server)
    loop, lanes = (1e6 * (b - a) / tokens for a, b in zip(before, after, strict=True))
    firsts.sort()
    p50, p95 = (firsts[int(len(firsts) * share)] * 1000 for share in (0.5, 0.95))
    told = f", first token p50 {p50:.0f} ms, p95 {p95:.0f} ms" if stream else ""
    return (
        f"{tokens / wall:8.0f} tokens/s{told}; of a token {loop:.0f} µs in the event loop, {lanes:.0f} µs in the lanes"
    )


def thread_seconds(server: Server) -> tuple[float, float]:
    """Processor time of the server's event loop, and of its other threads."""
    found = {}
    for folder in (server.process_folder() / "task").iterdir():
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        found[folder.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    loop = found.pop(str(server.process.pid))
    return loop, sum(found.values())


async def clients(port: int, count: int, stream: bool, end: float, firsts: list[float]) -> int:
    """The tokens that came. The clients are as light as they can be, because they share the processors."""
    body = json.dumps({"model": "tiny", "prompt": [1] * PROMPT_TOKENS, "max_tokens": NUM_TOKENS, "seed": 1,
                       "temperature": 0.8, "top_k": 50, "stream": stream,
                       **({"stream_options": {"include_usage": True}} if stream else {})})  # fmt: skip
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        tokens = 0
        while time.monotonic() < end:
            began = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = re.search(rb"content-length: (\d+)", head)
            text = await reader.readexactly(int(length[1])) if length else b""
            while not length and not text.endswith(b"\r\n0\r\n\r\n"):
                text = text[-200:] + await reader.read(1 << 16)
                if began and b'"text":' in text:
                    firsts.append(time.monotonic() - began)
                    began = 0.0
            firsts.extend([time.monotonic() - began] if began else [])
            tokens += int(re.findall(rb'"completion_tokens":(\d+)', text)[-1])
        writer.close()
        return tokens

    return sum(await asyncio.gather(*(client() for _ in range(count))))


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
            shares = (0.1, 0.33, 0.4, 0.63, 0.7, 1.0)  # one version, one, two, two, two, two
            told = ", ".join(f"{memory[int(share * (len(memory) - 1))]:.0f} at {share:.0%}" for share in shares)
            print(f"memory in MB, the second version joins at 35 %: {told}")


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
