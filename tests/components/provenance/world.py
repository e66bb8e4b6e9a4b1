"""A chain of small artifacts with true records, from pinned files to an evaluated model, and versions of it.

In: an empty folder. Out: a workspace with ``data``, and versions as a registry would hold them. In between: no
stage runs and no heavy library is imported; the model is a file of weights that is never loaded here.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save

from components.core.collected import FILE, RECORDS
from components.core.documents import DocumentWriter, RejectsWriter, document_id
from components.core.files import sha256_file, write_json, write_whole
from components.core.records import Record, artifact_digest, describe_files, execution_digest
from components.core.tokens import LAYOUT, PACKED_DOCUMENTS, count_windows, shard_name
from components.provenance.attest import Order, attest

PARTS = {"model": "train", "tokenizer": "tokenizer", "evaluation": "evaluate", "finetuned": "finetune",
         "assessments": "assess"}  # fmt: skip
CONTEXT = 8
LICENCES = {"letters": "CC-BY-4.0", "papers": "GPL-2.0-only"}


def make_chain(root, *, seed=1, num_documents=40):
    """A workspace: raw files with their pins, params, and every artifact below ``data``."""
    raw = make_raw(root, num_documents)
    pin_records(root)
    data = root / "data"
    write_json(root / "params.yaml", {"train": {"seed": seed}})
    write_whole(root / "requirements.lock", b"numpy==2.4.0\nkeras==3.15.1\n")
    write_whole(root / "dvc.lock", b"schema: '2.0'\n")
    write_whole(root / "code" / "components" / "__init__.py", b"# the code\n")
    ingest = finish(data / "ingest", "ingest", {}, {"sources": root / "sources.lock.json"}, texts(raw))
    checks = finish(data / "validate" / "documents", "validate@documents", {}, {"subject": ingest}, result())
    corpus = finish(data / "preprocess", "preprocess", {"seed": 3}, {"documents": ingest, "checks": checks},
                    lambda folder: write_corpus(folder, raw))  # fmt: skip
    tokenizer = finish(data / "tokenizer", "tokenizer", {}, {"corpus": corpus}, text_file("tokenizer.json", "{}"))
    pack = finish(data / "pack", "pack", {"context_tokens": CONTEXT}, {"corpus": corpus, "tokenizer": tokenizer},
                  lambda folder: write_pack(folder, raw))  # fmt: skip
    model = finish(data / "train", "train", {"seed": seed, "num_steps": 5}, {"tokens": pack, "checks": checks},
                   weights(seed))  # fmt: skip
    finish(data / "evaluate", "evaluate", {"seed": seed}, {"model": model, "tokens": pack}, scores(seed))
    collected = finish(data / "collect", "collect", {"sources": []}, {"sources": root / "records.lock.json"},
                       lambda folder: pq.write_table(RECORDS.empty_table(), folder / FILE))  # fmt: skip
    given = {"collected": collected, "corpus": corpus}
    prepared = finish(data / "prepare" / "classify", "prepare@classify", {}, given, text_file("a.txt", "b"))
    inputs = {"model": model, "tokenizer": tokenizer, "examples/classify": prepared}
    values = {"applications": {"classify": 1.0}, "method": "lora", "seed": seed}
    tuned = finish(data / "finetune" / "assistant", "finetune@assistant", values, inputs, weights(seed + 1))
    inputs = {"models/assistant": tuned, "examples": prepared}
    finish(data / "assess" / "classify", "assess@classify", {"seed": seed}, inputs, scores(seed))
    return root


def make_raw(root, num_documents):
    """Two sources of text files with their pins; returns (source, text, doc_id, split) of every document."""
    raw, pins = [], []
    for source, licence in LICENCES.items():
        lines = [f"document {n} of {source}, which says this and that" for n in range(num_documents // 2)]
        path = root / "raw" / f"{source}.txt"
        write_whole(path, "\n".join(lines).encode())
        raw += [(source, line, document_id(source, str(n)), ("test" if n % 10 == 9 else "train"))
                for n, line in enumerate(lines)]  # fmt: skip
        pins.append(pin_of(path, root, licence))
    write_json(root / "sources.lock.json", {"sources": pins})
    return raw


def pin_records(root):
    """A file of records with its pin, none of which is good enough to be learned."""
    path = root / "raw" / "answers.txt"
    write_whole(path, b"a question without an answer")
    write_json(root / "records.lock.json", {"sources": [pin_of(path, root, "CC0-1.0")]})


def pin_of(path, root, licence):
    """The pin of a source that is one file."""
    name = path.relative_to(root).as_posix()
    file = {"path": name, "name": path.stem, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
    return {"kind": "files", "name": path.stem, "paths": [name], "licence": licence, "files": [file]}


def write_corpus(folder, raw, copies=1):
    """The shards of preprocess, and the copies that it dropped."""
    with DocumentWriter(folder, 1000, corpus_schema()) as writer:
        for source, text, doc_id, split in raw:
            writer.add((doc_id, text, source, f"{source}/{doc_id}", LICENCES[source], None, "{}", split))
    with RejectsWriter(folder) as rejects:
        for source, text, doc_id, _ in raw[:copies]:
            copy = document_id(source, "copy")
            rejects.add((copy, source, "copy", "duplicate", f"the text of {doc_id}, which is kept", text))


def corpus_schema():
    """The columns of a corpus."""
    from components.core.documents import CORPUS

    return CORPUS


def write_pack(folder, raw):
    """A stream of five tokens for each document, and an end of text."""
    splits = {}
    for split in ("train", "validation", "test"):
        chosen = [row for row in raw if row[3] == split]
        lengths = np.full(len(chosen), 6, dtype=np.int64)
        stream = np.tile(np.arange(6, dtype="<u2"), len(chosen))
        np.save(folder / shard_name(split, 0), stream)
        np.save(folder / f"{split}.offsets.npy", np.concatenate([[0], np.cumsum(lengths)]).astype("<i8"))
        rows = [{"doc_id": doc_id, "source": source, "num_bytes": len(text), "num_tokens": 6}
                for source, text, doc_id, _ in chosen]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows, schema=PACKED_DOCUMENTS), folder / f"{split}.documents.parquet")
        windows = count_windows(len(stream), CONTEXT)
        splits[split] = {"tokens": len(stream), "documents": len(chosen), "windows": windows}
    layout = {
        "vocabulary_size": 6,
        "context_tokens": CONTEXT,
        "shard_tokens": 1 << 20,
        "dtype": "uint16",
        "end_of_text": 5,
        "splits": splits,
    }
    write_json(folder / LAYOUT, layout)


def finish(folder, stage, params, inputs, write):
    """Let ``write`` fill a folder, then leave the report and the record that the runner would leave."""
    folder.mkdir(parents=True)
    write(folder)
    if not (folder / "report.json").exists():
        write_json(folder / "report.json", {"received": 3, "kept": 2, "dropped": {"too_short": 1}})
    digests = {name: artifact_digest(path) for name, path in inputs.items()}
    execution = execution_digest(stage, "f" * 64, params, digests)
    Record(stage=stage, execution=execution, fingerprint="f" * 64, params=params, inputs=digests,
           files=describe_files(folder)).save(folder)  # fmt: skip
    return folder


def texts(raw):
    """A writer of the shards of ingest: the texts as their sources have them, with a return before each line's end."""

    def write(folder):
        with DocumentWriter(folder, 1000) as writer:
            for source, text, doc_id, _ in raw:
                writer.add((doc_id, raw_text(text), source, f"{source}/{doc_id}", LICENCES[source], None, "{}"))

    return write


def raw_text(text):
    """A text before preprocess mends it."""
    return text + "\r"


def text_file(name, text):
    """A writer of one file."""
    return lambda folder: write_whole(folder / name, text.encode())


def result():
    """A result of checks."""
    found = {"title": "Enough", "limit": "at least 1", "observed": 40, "state": "passed"}
    return text_file("result.json", json.dumps({"expectations": [found]}))


def weights(seed):
    """A model of one tensor."""
    array = np.random.default_rng(seed).normal(size=(4, 4)).astype(np.float32)
    return lambda folder: write_whole(folder / "weights.safetensors", save({"w": array}))


def scores(seed):
    """The report of an evaluation."""
    report = {"bits_per_byte": 2.0 + seed, "bits_per_byte_low": 1.9 + seed, "bits_per_byte_high": 2.1 + seed}
    return lambda folder: write_json(folder / "report.json", report)


def order_of(root, name="tiny"):
    """What to attest of a workspace."""
    parts = {part: root / "data" / stage for part, stage in PARTS.items()}
    return Order(name, parts, root / "data", root, root / "code")


def make_version(root, folder, key, byproducts=(), name="tiny"):
    """A version of the workspace at ``root`` in ``folder``, attested; returns its digest."""
    order = order_of(root, name)
    attest(order, key, list(byproducts), folder)
    for part, source in order.parts.items():
        shutil.copytree(source, folder / part)
    return order.digest


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
