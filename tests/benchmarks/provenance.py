"""How long it takes to ask which of fifty versions saw a document, and to verify a gigabyte.

    python -m tests.benchmarks.provenance [DOCUMENTS [VERSIONS]]

Makes a corpus of so many documents (1,000,000), packs it, indexes so many trainings of it (50; half on a corpus of
their own where there is room for two), signs a version for each, and asks in a fresh process: every signature and
every page that is touched is checked. Then signs a version of one gigabyte and verifies it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.numpy import save_file

from components.core.documents import CORPUS, DocumentWriter, RejectsWriter
from components.core.files import write_json
from components.core.keys import key_id, load_public_key, public_pem
from components.core.tokens import LAYOUT, PACKED_DOCUMENTS, TokenSplit, count_windows, shard_name
from components.provenance.exposure import BYPRODUCT, Exposure, build, key_of_document, key_of_text
from components.provenance.statement import Resource
from components.provenance.verify import read_signed, verify_version
from components.train.schedule import windows_of_step
from tests.components.provenance.world import make_chain, make_version

CONTEXT, LENGTH, BATCH, STEPS = 64, 40, 64, 5_000
_GIGABYTE = 1_000_000_000


def main(num_documents: int = 1_000_000, num_versions: int = 50) -> None:
    """Print every figure."""
    with tempfile.TemporaryDirectory() as folder:
        root, key = Path(folder), Ed25519PrivateKey.generate()
        (root / "key.pub.pem").write_bytes(public_pem(key.public_key()))
        chain = make_chain(root / "chain")
        corpora = [(f"c{n}", make_corpus(root / f"corpus-{n}", num_documents, n)) for n in range(2)]
        begin = time.perf_counter()
        for number in range(num_versions):
            make_indexed_version(root, chain, key, number, *corpora[number % 2])
        seconds = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in (root / "index").rglob("*") if path.is_file())
        print(f"{num_documents:,} documents, {num_versions} versions on two corpora: indexed in {seconds:.0f} s, "
              f"{size / 1e6:.0f} MB", flush=True)  # fmt: skip
        for _ in range(3):
            ask_in_a_fresh_process(root, num_versions, num_documents)
        verify_a_gigabyte(root, chain, key)


def make_corpus(folder: Path, num_documents: int, seed: int) -> tuple[Path, Path]:
    """A corpus of short documents, and its packed tokens."""
    names = [f"{number:08x}{seed:024x}" for number in range(num_documents)]
    (folder / "corpus").mkdir(parents=True)
    with DocumentWriter(folder / "corpus", 1 << 20, CORPUS) as writer, RejectsWriter(folder / "corpus"):
        for begin in range(0, num_documents, 10_000):
            some = names[begin : begin + 10_000]
            texts = [f"the text of document {name}, long enough to be one of many" for name in some]
            columns = [some, texts, ["web"] * len(some), some, ["CC-BY-4.0"] * len(some), [None] * len(some),
                       ["{}"] * len(some), ["train"] * len(some)]  # fmt: skip
            writer.write(pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, CORPUS, strict=True)],
                                              schema=CORPUS))  # fmt: skip
    pack(folder / "tokens", names)
    return folder / "corpus", folder / "tokens"


def pack(folder: Path, names: list[str]) -> None:
    """Tokens of which only the number counts here."""
    folder.mkdir()
    splits = {}
    for split in ("train", "validation", "test"):
        chosen = names if split == "train" else []
        offsets = np.arange(len(chosen) + 1, dtype="<i8") * LENGTH
        num_tokens = int(offsets[-1])
        np.save(folder / shard_name(split, 0), np.zeros(num_tokens, dtype="<u2"))
        np.save(folder / f"{split}.offsets.npy", offsets)
        rows = [{"doc_id": name, "source": "web", "num_bytes": 60, "num_tokens": LENGTH} for name in chosen]
        pq.write_table(pa.Table.from_pylist(rows, schema=PACKED_DOCUMENTS), folder / f"{split}.documents.parquet")
        splits[split] = {"tokens": num_tokens, "documents": len(chosen), "windows": count_windows(num_tokens, CONTEXT)}
    write_json(folder / LAYOUT, {"vocabulary_size": 6, "context_tokens": CONTEXT, "shard_tokens": 1 << 40,
                                 "dtype": "uint16", "end_of_text": 5, "splits": splits})  # fmt: skip


def make_indexed_version(root, chain, key, seed, name, folders) -> None:
    """Index a training of that seed, and sign a version that names the index."""
    corpus, tokens = folders
    num_windows = TokenSplit.open(tokens, "train").num_windows
    first = np.full(num_windows, -1, dtype=np.int64)
    for step in reversed(range(min(STEPS, -(-num_windows // BATCH)))):
        first[windows_of_step(step, seed=seed, batch_windows=BATCH, num_windows=num_windows)] = step
    training = f"{seed:064x}"
    digest = build(root / "index", training, (corpus, corpus, tokens), first, {"web": "CC-BY-4.0"}, (name, name))
    byproduct = Resource(name=BYPRODUCT + training, digest={"sha256": digest})
    make_version(chain, root / "versions" / str(seed), key, [byproduct])


def ask_in_a_fresh_process(root: Path, num_versions: int, num_documents: int) -> None:
    """Time the questions in a process that has nothing open."""
    name = f"{num_documents // 3:08x}{0:024x}"
    command = [sys.executable, "-m", "tests.benchmarks.provenance", "--ask", str(root), str(num_versions), name]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip(), flush=True)


def ask(root: Path, num_versions: int, name: str) -> None:
    """Ask every version for a document, a text, a source and a licence; print the seconds of each question."""
    public = load_public_key(root / "key.pub.pem")
    believed, told = {key_id(public): public}, []
    text = f"the text of document {name}, long enough to be one of many"
    for kind, question in {
        "document": lambda index: index.find(key_of_document(name)),
        "text": lambda index: index.find(key_of_text(text)),
        "source": lambda index: index.total("sources", "web"),
        "licence": lambda index: index.total("licences", "CC-BY-4.0"),
    }.items():
        begin, hits = time.perf_counter(), 0
        for number in range(num_versions):
            statement = read_signed(root / "versions" / str(number), believed)
            for resource in statement.predicate.runDetails.byproducts:
                training = resource.name.removeprefix(BYPRODUCT)
                hits += question(Exposure(root / "index", training, resource.digest["sha256"])) is not None
        told.append(f"{kind} {time.perf_counter() - begin:.3f} s ({hits} versions)")
    print("  asked: " + ", ".join(told))


def verify_a_gigabyte(root, chain, key) -> None:
    """Sign and verify a version with a gigabyte of weights; the file is in the page cache."""
    workspace = shutil.copytree(chain, root / "large")
    weights = workspace / "data" / "train" / "weights.safetensors"
    rows = np.random.default_rng(0).integers(0, 1 << 31, _GIGABYTE // 4, dtype=np.int32).view(np.float32)
    save_file({"w": rows}, weights)
    refinish(workspace)
    digest = make_version(workspace, root / "gigabyte", key)
    for _ in range(3):
        begin, used = time.perf_counter(), os.times()
        verify_version(root / "gigabyte", {key_id(key.public_key()): key.public_key()}, digest)
        now = os.times()
        print(f"verify, {weights.stat().st_size / 1e9:.2f} GB: {time.perf_counter() - begin:.2f} s wall, "
              f"{now.user + now.system - used.user - used.system:.2f} s CPU", flush=True)  # fmt: skip


def refinish(workspace: Path) -> None:
    """Write the records of the model and of what was made from it again, as the runner would for these files."""
    from components.core.records import artifact_digest, describe_files, execution_digest, read_record

    data = workspace / "data"
    record = read_record(data / "train").model_copy(update={"files": describe_files(data / "train")})
    record.save(data / "train")
    for name, part, source in (("evaluate", "model", "train"), ("finetune/assistant", "model", "train"),
                               ("assess/classify", "models/assistant", "finetune/assistant")):  # fmt: skip
        before = read_record(data / name)
        inputs = {**before.inputs, part: artifact_digest(data / source)}
        execution = execution_digest(before.stage, before.fingerprint, before.params, inputs)
        before.model_copy(update={"inputs": inputs, "execution": execution}).save(data / name)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        ask(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        main(*map(int, sys.argv[1:]))
