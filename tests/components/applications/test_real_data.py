"""Real data of every application, from the files that people have to checked examples; its natural faults are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.applications import APPLICATIONS
from components.assess import STAGES as ASSESS
from components.core.collected import read_records
from components.core.errors import SourceError
from components.core.files import read_json
from components.core.params import parse
from components.core.stage import Attempt, Report, Stage
from components.ingest import STAGES as INGEST
from components.ingest import CollectConfig, Lock
from components.ingest.pin import pin_files
from components.prepare import STAGES as PREPARE_STAGES
from components.train import FinetuneConfig, finetune
from components.validate import STAGES as VALIDATE
from tests.components.applications.sources import MORE, PREPARE, SOURCES, Values, require
from tests.components.core.test_toxicity import TWEETS, toxic_texts
from tests.components.train.finetune_world import CONFIG, make_base

ALL: dict[str, tuple[list[Values], Values]] = {name: (SOURCES[name], PREPARE[name]) for name in SOURCES}
ALL |= {name: ([one], values) for name, (one, values) in MORE.items()}
ALL_OF_THEM = {"max_train_examples": 100_000, "max_held_out_examples": 100_000}
# Examples of each split, and what the check finds in them.
EXPECTED: dict[str, tuple[tuple[int, int, int], dict[str, int]]] = {
    "sentiment": ((6920, 872, 1821), {"examples_distinct": 9, "splits_apart": 3}),
    "classify": ((10003, 0, 3080), {"examples_distinct": 33, "labels_consistent": 4, "splits_apart": 25}),
    "translate": (
        (29000, 1014, 1000),
        {"examples_distinct": 4, "splits_apart": 1, "a_text_and_its_translation_are_of_like_length": 2},
    ),
    "summarise": ((12460, 0, 500), {"examples_distinct": 11, "splits_apart": 59}),
    "chat": ((789, 108, 103), {}),
    "answer": ((984, 79, 127), {"examples_distinct": 3}),
    "recommend": ((1830, 610, 610), {}),
    "grammar": ((0, 0, 5998), {}),
    "agnews": ((4844, 620, 595), {"splits_apart": 1}),
    "thucnews": ((8018, 1011, 971), {"examples_distinct": 6, "splits_apart": 1}),
    "tatoeba": ((15275, 1890, 1846), {"examples_distinct": 5, "splits_apart": 8}),
}


def run(stage: Stage, values: Values, output: Path, **inputs: Any) -> Report:
    """Run a stage by its function."""
    output.mkdir()
    given = {**inputs, "key": stage.key} if stage.is_keyed else inputs
    report: Report = stage.function(parse(values, stage.config, "test"), **given, output=output)
    assert report.books is not None
    report.books.check(stage.name)
    return report


def collect(sources: list[Values], folder: Path) -> Report:
    """Pin and read sources of records; the output is ``folder / collected``."""
    config = parse({"sources": sources}, CollectConfig, "test")
    Lock(sources=tuple(pin_files(source, folder) for source in config.sources)).save(folder / "lock.json")
    return run(INGEST["collect"], {"sources": sources}, folder / "collected", sources=folder / "lock.json")


@pytest.mark.parametrize("name", ALL)
def test_real_records_become_checked_examples(name: str, tmp_path: Path) -> None:
    sources, values = ALL[name]
    require(sources)
    application = sources[0]["application"]
    collected = collect(sources, tmp_path)
    assert collected.metrics["faults"] == 0
    prepare, check = PREPARE_STAGES["prepare@"].of(application), VALIDATE["check@"].of(application)
    made = run(prepare, {**ALL_OF_THEM, **values}, tmp_path / "prepared",
               collected=tmp_path / "collected", corpus=tmp_path, checks=tmp_path)  # fmt: skip
    found = run(
        check,
        {"min_train_examples": 0, "min_held_out_examples": 0},
        tmp_path / "checked",
        subject=tmp_path / "prepared",
    )
    assert found.books is not None
    counts = tuple(int(made.metrics[f"{split}_examples"]) for split in ("train", "validation", "test"))
    assert (counts, found.books.dropped) == EXPECTED[name]
    examples = pl.read_parquet(tmp_path / "prepared" / "examples.parquet")
    assert (examples["prompt"].str.ends_with("\n") | (examples["prompt"] == "")).all()
    assert examples.filter(pl.col("answer") != pl.col("references").list.first()).is_empty()


LITTLE = {"max_train_examples": 120, "max_held_out_examples": 24}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of first weights with its tokenizer."""
    return make_base(tmp_path_factory.mktemp("base"), context_tokens=256)


def make_examples(names: list[str], folder: Path) -> list[str]:
    """A few examples of each real set below ``folder / prepared``, checked below ``folder / checked``."""
    made = []
    for name in names:
        sources, values = ALL[name]
        require(sources)
        application = sources[0]["application"]
        (folder / name).mkdir()
        collect(sources, folder / name)
        for part in ("prepared", "checked"):
            (folder / part).mkdir(exist_ok=True)
        run(PREPARE_STAGES["prepare@"].of(application), {**values, **LITTLE}, folder / "prepared" / application,
            collected=folder / name / "collected", corpus=folder, checks=folder)  # fmt: skip
        run(VALIDATE["check@"].of(application), {"min_train_examples": 0, "min_held_out_examples": 0,
            "max_quarantined_share": 0.9}, folder / "checked" / application,
            subject=folder / "prepared" / application)  # fmt: skip
        made.append(application)
    return made


@pytest.mark.parametrize("name", [name for name in ALL if name != "grammar"])
def test_a_model_is_asked_real_questions_beside_its_floors(name: str, base: dict[str, Path], tmp_path: Path) -> None:
    (application,) = make_examples([name], tmp_path)
    values: Values = {"num_resamples": 200}
    if application == "chat":
        require([{"paths": [TWEETS]}])
        values["toxic_texts"] = toxic_texts(tmp_path / "tweets.csv").model_dump()
    report = run(ASSESS["assess@"].of(application), values, tmp_path / "assessed", **base,
                 examples=tmp_path / "prepared" / application, checks=tmp_path / "checked" / application)  # fmt: skip
    wanted = set(APPLICATIONS[application].metrics) - ({"toxicity"} if application != "chat" else set())
    assert wanted <= set(report.metrics)
    assert {f"{metric}_{part}" for metric in wanted for part in ("low", "high", "floor")} <= set(report.metrics)


def test_sentiment_and_translation_are_learned_by_one_model(base: dict[str, Path], tmp_path: Path) -> None:
    names = make_examples(["sentiment", "tatoeba"], tmp_path)
    values = {**CONFIG, "num_steps": 40, "applications": dict.fromkeys(names, 1.0)}
    (tmp_path / "tuned").mkdir()
    finetune(parse(values, FinetuneConfig, "test"), **base, examples=tmp_path / "prepared", checks=tmp_path / "checked",
             output=tmp_path / "tuned", live=lambda *_: None, attempt=Attempt(tmp_path, {}), key="both")  # fmt: skip
    for name in names:
        losses = []
        for model in (base["model"], tmp_path / "tuned"):
            output = tmp_path / f"{name} {model.name}"
            run(ASSESS["assess@"].of(name), {"num_resamples": 200}, output, model=model, tokenizer=base["tokenizer"],
                examples=tmp_path / "prepared" / name, checks=tmp_path / "checked" / name)  # fmt: skip
            losses.append(pl.read_parquet(output / "answers.parquet")["loss_nats"].to_numpy().sum())
        assert losses[1] < 0.9 * losses[0]


def test_repeats_of_a_dialogue_are_counted_though_their_summaries_differ(tmp_path: Path) -> None:
    require(SOURCES["summarise"])
    collect(SOURCES["summarise"], tmp_path)
    run(PREPARE_STAGES["prepare@"].of("summarise"), {**ALL_OF_THEM, **PREPARE["summarise"]}, tmp_path / "prepared",
        collected=tmp_path / "collected", corpus=tmp_path, checks=tmp_path)  # fmt: skip
    run(VALIDATE["check@"].of("summarise"), {"min_held_out_examples": 0}, tmp_path / "checked",
        subject=tmp_path / "prepared")  # fmt: skip
    told = {entry["name"]: entry for entry in read_json(tmp_path / "checked" / "result.json")["expectations"]}
    assert told["questions_new"]["state"] == "warned"
    assert told["questions_new"]["unexpected_count"] >= 1093


def test_records_that_are_none_are_counted_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "p", "response": "r"}\n[1]\n{"prompt":\n\n{"prompt": NaN}\n')
    (tmp_path / "b.csv").write_text("text,label\none,a\ntwo\n")
    (tmp_path / "c.en").write_text("one\ntwo\n")
    (tmp_path / "c.de").write_text("eins\nzwei\ndrei\n")
    (tmp_path / "d.json").write_text('{"data": [{"paragraphs": [{}]}]}')
    made = [("a.jsonl", "jsonl", ()), ("b.csv", "csv", ()), (["c.en", "c.de"], "parallel", ["en", "de"]),
            ("d.json", "squad", ())]  # fmt: skip
    sources = [
        {"name": f"s{i}", "application": "chat", "licence": "CC0-1.0", "format": form, "columns": list(columns),
         "paths": [paths] if isinstance(paths, str) else paths}
        for i, (paths, form, columns) in enumerate(made)
    ]  # fmt: skip
    with pytest.raises(SourceError, match=r"collect\.max_rejected_share"):
        collect(sources, tmp_path)
    rejects = pl.read_parquet(tmp_path / "collected" / "rejects.parquet")
    assert rejects["uri"].to_list() == ["s0/a.jsonl#2", "s0/a.jsonl#3", "s0/a.jsonl#5", "s1/b.csv#2", "s2/c.en#3",
                                        "s3/d.json"]  # fmt: skip
    kept = read_records(tmp_path / "collected", "chat")["text"].to_pylist()
    assert json.loads(kept[0]) == {"prompt": "p", "response": "r"}
    assert json.loads(kept[2]) == {"de": "eins", "en": "one"}
