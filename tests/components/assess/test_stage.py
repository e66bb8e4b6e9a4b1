"""The stage asks a real, tiny model the questions of each kind of decoding, and writes what it found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.assess import STAGES
from components.core.errors import InputError
from components.core.examples import EXAMPLES, REJECTED, Asked, write_examples
from components.core.files import sha256_file
from components.core.params import parse
from components.core.stage import Report
from components.model import ModelConfig
from components.model.transformer import Transformer
from components.model.weights import save_model
from components.registry.comparison import read_metrics
from components.tokenizer.codec import Codec
from tests.components.core.test_toxicity import made_up, write
from tests.components.pack.world import write_checks, write_tokenizer
from tests.components.tokenizer.world import make_rows

LABELS = ["cat", "dog", "mat"]
# A metric of each application that the gate can compare.
GATED = {"classify": "accuracy", "recommend": "ndcg_10", "generate": "bits_per_byte"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random model with its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = write_tokenizer(folder / "tokenizer", make_rows())
    size = Codec.load(tokenizer).vocabulary_size
    config = ModelConfig(
        vocabulary_size=size, context_tokens=64, width=16, num_layers=1, num_heads=2, feed_forward_width=32
    )
    made = Transformer(config, seed=1)
    for weight in made.named_weights.values():
        weight.assign(np.random.default_rng(2).normal(0, 0.3, weight.shape))
    (folder / "model").mkdir()
    save_model(made, folder / "model")
    return {"model": folder / "model", "tokenizer": tokenizer}


def assess(
    model: dict[str, Path], folder: Path, name: str, decoding: str, *, num: int = 30, first: int = 0, **values: object
) -> Report:
    """Run the stage by its function on ``num`` test examples, of which one is in quarantine.

    The 30 training examples stand before them; those below ``first`` are left out.
    """
    for part in ("examples", "output"):
        (folder / part).mkdir()
    rows = [
        {
            "example_id": f"{i:032d}", "split": "train" if i < 30 else "test", "group": f"g{i // 2}",
            "request": json.dumps({"history": [LABELS[i % 3 - 1]]} if decoding == "rank" else {"text": LABELS[i % 3]}),
            "prompt": f"the {LABELS[i % 3]} {i}\n" * (40 if i == 35 else 1), "answer": LABELS[i % 3],
            "references": [LABELS[i % 3]], "choices": LABELS if name == "grammar" else [],
            "source": "s", "licence": "MIT", "language": "en", "expectations": [],
        }
        for i in range(first, 30 + num)
    ]  # fmt: skip
    choices = LABELS if decoding != "write" else []
    asked = Asked.model_validate({"application": name, "decoding": decoding, "choices": choices, "example": {}})
    write_examples(folder / "examples", pa.Table.from_pylist(rows, EXAMPLES), REJECTED.empty_table(), asked)
    inputs = {**model, "examples": folder / "examples", "checks": write_checks(folder / "checks", f"{31:032d}")}
    stage = STAGES["assess@"].of(name)
    config = parse({"num_resamples": 200, **values}, stage.config, "test")
    report: Report = stage.function(config, **inputs, output=folder / "output", key=name)
    assert report.books is not None
    report.books.check(stage.name)
    return report


@pytest.mark.parametrize(
    ("name", "decoding", "metrics"),
    [("classify", "choose", {"accuracy", "macro_f1", "brier", "calibration_error"}),
     ("recommend", "rank", {"ndcg_10", "hit_rate_10"}),
     ("generate", "write", {"bits_per_byte", "distinct_2", "personal_data"})],
)  # fmt: skip
def test_each_way_of_answering_is_scored_beside_its_floors(
    name: str, decoding: str, metrics: set[str], model: dict[str, Path], tmp_path: Path
) -> None:
    report = assess(model, tmp_path, name, decoding)
    assert report.books is not None
    assert report.books.kept == 29
    assert {key for key in report.metrics if not key.endswith(("_low", "_high", "_floor"))} == metrics
    assert f"{next(iter(sorted(metrics)))}" in report.metrics
    scores = pl.read_parquet(tmp_path / "output/scores.parquet")
    assert {metric.partition("/")[0] for metric in scores["metric"]} <= {f"{name}.{metric}" for metric in metrics}
    assert scores["document"].n_unique() == 15
    assert_best_floor_is_told(scores, f"{name}.{GATED[name]}", report)
    answers = pl.read_parquet(tmp_path / "output/answers.parquet")
    assert answers.height == 29
    page = (tmp_path / "output/page.html").read_text()
    assert f"Assessment of {name}" in page
    assert "Beside the floors" in page


def assert_best_floor_is_told(scores: pl.DataFrame, metric: str, report: Report) -> None:
    """What the gate reads of the floors is what the page and the report say of the best one."""
    floors = scores.filter(pl.col("metric").str.starts_with(f"{metric}/"))
    sums = floors.group_by("metric").agg(pl.col("total", "size").sum())
    values = (sums["total"] / sums["size"]).to_list()
    name = metric.partition(".")[2]
    best = min if name == "bits_per_byte" else max
    assert best(values) == pytest.approx(report.metrics[f"{name}_floor"])


def test_the_marks_of_two_judges_are_of_different_items(model: dict[str, Path], tmp_path: Path) -> None:
    metrics = []
    for word in ("awful", "dreadful"):
        (tmp_path / word).mkdir()
        labelled = write(tmp_path / f"{word}.csv", made_up(word)).model_dump()
        report = assess(model, tmp_path / word, "generate", "write", num=4, toxic_texts=labelled)
        assert (report.metrics["toxicity_judge_recall"], report.metrics["toxicity_judge_auc"]) == (1.0, 1.0)
        metrics.append(read_metrics(tmp_path / word / "output"))
    ours, theirs = metrics
    assert ours["generate.toxicity"].documents == theirs["generate.toxicity"].documents
    assert ours["generate.toxicity"].identity != theirs["generate.toxicity"].identity
    assert ours["generate.personal_data"].identity == theirs["generate.personal_data"].identity


def test_equal_inputs_give_equal_bytes(model: dict[str, Path], tmp_path: Path) -> None:
    for part in ("one", "two"):
        (tmp_path / part).mkdir()
        assess(model, tmp_path / part, "classify", "choose", num=12)
    for name in ("answers.parquet", "scores.parquet", "page.html"):
        assert sha256_file(tmp_path / "one/output" / name) == sha256_file(tmp_path / "two/output" / name)


def test_chance_stands_beside_who_has_learned_from_no_example(model: dict[str, Path], tmp_path: Path) -> None:
    report = assess(model, tmp_path, "grammar", "choose", first=30)
    assert report.metrics["accuracy_floor"] == pytest.approx(1 / len(LABELS))
    assert report.metrics["calibration_error_floor"] == pytest.approx(0, abs=1e-9)
    assert_best_floor_is_told(pl.read_parquet(tmp_path / "output/scores.parquet"), "grammar.accuracy", report)


def test_a_floor_that_learns_is_refused_where_there_is_nothing_to_learn_from(
    model: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="0 examples to learn from"):
        assess(model, tmp_path, "classify", "choose", first=30)


def test_nothing_to_ask_is_refused(model: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 to ask"):
        assess(model, tmp_path, "classify", "choose", num=0)
    assert pq.read_table(tmp_path / "examples/examples.parquet").num_rows == 30
