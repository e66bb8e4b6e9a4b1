"""A trained model, a tokenizer and an evaluation, as small as they can be, as their stages would leave them."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from components.core import scores
from components.core.files import sha256_bytes, write_json, write_whole
from components.core.keys import load_key
from components.core.lock import WORKSPACE_VARIABLE
from components.core.records import Record, describe_files, execution_digest
from components.core.scores import of_floor
from components.provenance.attest import Order, attest
from components.provenance.place import PARTS, place_of

CONFIG = {"name": "tiny"}
PROMOTE_CONFIG = {"num_resamples": 300}
NUM_STEPS = 30
# Pins of no source at all; every record of this world starts at them.
PINS = b'{"sources": []}\n'
PINNED = sha256_bytes(PINS)


def make_world(folder, *, seed=0, change=0.0, evaluation_seed=1, assessed=0.5, floor=None, leaking=None):
    """The inputs of ``register``; ``change`` makes the scores worse by so many nats per byte, and of the examples of
    an application a share ``assessed`` is answered rightly, ``floor`` by a floor. With ``leaking`` it chats too, as
    well as it classifies, and a share of its answers holds personal data."""
    inputs = {name: folder / name for name in PARTS}
    for path in inputs.values():
        path.mkdir(parents=True)
    make_tokenizer(inputs["tokenizer"])
    make_model(inputs["model"], seed)
    make_evaluation(inputs["evaluation"], change, evaluation_seed)
    make_finetuned(inputs["finetuned"] / "assistant", seed)
    beside = {} if floor is None else {of_floor("accuracy", "commonest"): floor}
    make_assessment(inputs["assessments"] / "classify", {"accuracy": assessed, **beside})
    if leaking is not None:
        make_assessment(inputs["assessments"] / "chat", {"token_f1": assessed, "personal_data": leaking})
    attest_world(folder, inputs)
    return inputs


def attest_world(folder, inputs, name="tiny"):
    """Prepare the provenance of a version, as the runner does before ``register``."""
    workspace = Path(os.environ[WORKSPACE_VARIABLE])
    write_whole(workspace / "sources.lock.json", PINS)
    order = Order(name, inputs, folder, workspace, folder)
    attest(order, load_key(), [], place_of(order.digest))


def make_promote_world(folder, inputs, digest, name="tiny"):
    """The inputs of ``promote`` for a registered version."""
    registration = folder / "registration"
    registration.mkdir(parents=True, exist_ok=True)
    write_json(registration / "version.json", {"name": name, "digest": digest})
    finish(registration, "register", CONFIG, {})
    return {"registration": registration, "evaluation": inputs["evaluation"], "assessments": inputs["assessments"]}


def make_tokenizer(folder):
    """A vocabulary of 300 tokens, learned from one sentence."""
    from components.tokenizer.learning import learn

    text = "The model reads the text and the text reads like the model. " * 20
    (folder / "tokenizer.json").write_text(learn([[text]], 300, 2).to_str(), encoding="utf-8")
    write_json(folder / "report.json", {"vocabulary_size": 300})
    finish(folder, "tokenizer", {"vocabulary_size": 300}, {"corpus": PINNED})


def make_model(folder, seed):
    """A model of random weights."""
    from components.model import ModelConfig
    from components.model.transformer import Transformer
    from components.model.weights import save_model

    sizes = {"width": 16, "num_layers": 1, "num_heads": 2, "feed_forward_width": 16}
    save_model(Transformer(ModelConfig(vocabulary_size=300, context_tokens=32, **sizes), seed=seed), folder)
    write_history(folder)
    write_json(folder / "report.json", {"loss": 3 / NUM_STEPS})
    params = {"seed": seed, "num_steps": NUM_STEPS, "model": sizes}
    finish(folder, "train", params, {"tokens": PINNED, "checks": PINNED})


def make_evaluation(folder, change, seed):
    """Scores of 50 documents."""
    random = np.random.default_rng(1)
    sizes = random.integers(50, 500, 50)
    write_scores(folder, sizes * (1.5 + change) + random.normal(0, 5, len(sizes)), sizes)
    write_json(folder / "samples.json", [])
    write_json(folder / "report.json", {"bits_per_byte": 2.1 + change, "perplexity": 30.0, "documents": 50})
    finish(folder, "evaluate", {"seed": seed}, {"model": PINNED})


def make_finetuned(folder, seed):
    """A model that was made from another one, with weights of one tensor."""
    folder.mkdir()
    save_file({"w": np.full((2, 2), seed, np.float32)}, folder / "weights.safetensors")
    write_json(folder / "report.json", {"loss": 1.0})
    finish(folder, "finetune@assistant", {"method": "full", "applications": {"classify": 1.0}}, {"model": PINNED})


def make_assessment(folder, shares):
    """Scores of 200 examples of an application: of each metric, the share of them that score one."""
    folder.mkdir()
    names = [f"{n:032x}" for n in range(200)]
    rows = [(f"{folder.name}.{name}", np.arange(200) < 200 * share) for name, share in shares.items()]
    scores.write_scores(folder, [scores.make_scores(name, names, names, right, np.ones(200)) for name, right in rows])
    write_json(folder / "report.json", {name: share for name, share in shares.items() if "/" not in name})
    finish(folder, f"assess@{folder.name}", {}, {"finetuned/assistant": PINNED})


def write_scores(folder, losses, sizes, *, first=0):
    """The tables of scored documents of the evaluate stage."""
    names = range(first, first + len(sizes))
    columns = {
        "doc_id": pa.array([f"{n:032x}" for n in names], pa.string()),
        "text_sha256": pa.array([f"{n:064x}" for n in names], pa.string()),
        "source": pa.array(["tiny"] * len(sizes), pa.string()),
        "num_tokens": pa.array(np.asarray(sizes) // 4, pa.int64()),
        "num_bytes": pa.array(np.asarray(sizes), pa.int64()),
        "loss_nats": pa.array(losses, pa.float64()),
        "baseline_loss_nats": pa.array(losses, pa.float64()),
    }
    pq.write_table(pa.table(columns), folder / "documents.parquet")
    bits, slices = np.asarray(losses) / np.log(2), [["source:tiny"]] * len(sizes)
    documents, items = columns["doc_id"].to_pylist(), columns["text_sha256"].to_pylist()
    scores.write_scores(folder, [scores.make_scores("bits_per_byte", documents, items, bits, sizes, slices)])


def write_history(folder):
    """A history as the train stage writes it."""
    lines = [{"step": step, "loss": 3 / step, "learning_rate": 1e-3} for step in range(1, NUM_STEPS + 1)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def finish(folder, stage, params, inputs):
    """Write the record that the runner would write."""
    execution = execution_digest(stage, "f" * 64, params, inputs)
    record = Record(stage=stage, execution=execution, fingerprint="f" * 64, params=params, inputs=inputs,
                    files=describe_files(folder))  # fmt: skip
    record.save(folder)
