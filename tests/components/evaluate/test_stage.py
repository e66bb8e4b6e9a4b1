"""The stage on a tiny world: figures that add up, a page that is safe, refusals that help."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.core.errors import InputError
from components.core.files import list_files
from components.core.params import parse
from components.core.tokens import TokenSplit
from components.evaluate import STAGE, EvaluateConfig, evaluate
from components.evaluate.summary import safe_name
from components.registry.comparison import read_metrics
from components.tokenizer.codec import Codec
from tests.components.core.test_toxicity import TWEETS, made_up, toxic_texts, write
from tests.components.evaluate.world import CONFIG, NUM_CANARIES, make_model, make_world


def config(**changes):
    return parse({**CONFIG, **changes}, EvaluateConfig, "test")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    return output, evaluate(config(), **world, output=output)


def test_losses_are_those_of_scoring_token_by_token(done, world):
    from components.model.weights import load_model

    model, split = load_model(world["model"]), TokenSplit.open(world["tokens"], "test")
    end_of_text = Codec.load(world["tokenizer"]).end_of_text
    found = pq.read_table(done[0] / "documents.parquet").column("loss_nats").to_pylist()
    for position in (0, 1):  # shorter than the context: one plain pass each
        tokens = split.document(position).astype(np.int32)
        logits = np.asarray(model(np.append([end_of_text], tokens[:-1])[None]))[0].astype(np.float64)
        expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(tokens)), tokens]
        assert found[position] == pytest.approx(expected.sum(), rel=1e-5)


def test_the_figures_are_totals_over_the_kept_scores(done):
    output, report = done
    rows, metrics = pq.read_table(output / "documents.parquet").to_pydict(), report.metrics
    loss, tokens, size = (sum(rows[name]) for name in ("loss_nats", "num_tokens", "num_bytes"))
    assert metrics["loss_per_token"] == pytest.approx(loss / tokens)
    assert metrics["perplexity"] == pytest.approx(math.exp(loss / tokens))
    assert metrics["bits_per_byte"] == pytest.approx(loss / math.log(2) / size)
    assert metrics["bits_per_byte_low"] < metrics["bits_per_byte"] < metrics["bits_per_byte_high"]
    assert metrics["baseline_bits_per_byte"] < metrics["bits_per_byte"]  # random weights against real counts
    assert {f"bits_per_byte_of_{safe_name(f'source {n}')}" for n in (0, 1)} <= metrics.keys()
    assert report.books.received == report.books.kept == 12


def test_equal_inputs_give_equal_bytes(done, world, tmp_path):
    evaluate(config(), **world, output=tmp_path)
    for name in list_files(tmp_path):
        assert (tmp_path / name).read_bytes() == (done[0] / name).read_bytes(), name
    assert set(list_files(tmp_path)) == {"documents.parquet", "page.html", "samples.json", "scores.parquet"}


def test_samples_are_shown_as_text_that_cannot_act(done):
    page = (done[0] / "page.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    samples = json.loads((done[0] / "samples.json").read_bytes())
    assert [sample["prompt"] for sample in samples] == CONFIG["prompts"] * 3


def test_documents_beyond_the_limit_are_counted(world, tmp_path):
    report = evaluate(config(max_documents=5), **world, output=tmp_path)
    report.books.check("evaluate")
    assert (report.books.kept, report.books.received) == (5, 12)
    assert pq.read_table(tmp_path / "documents.parquet").num_rows == 5


def test_texts_are_told_apart_by_their_digest(done):
    digests = pq.read_table(done[0] / "documents.parquet").column("text_sha256").to_pylist()
    assert len(set(digests)) == 12


def test_nothing_to_score_is_refused(tmp_path):
    world = make_world(tmp_path / "world", num_documents=0)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="0 documents, none to score"):
        evaluate(config(), **world, output=tmp_path / "out")


def test_a_model_with_another_vocabulary_is_refused(world, tmp_path):
    (tmp_path / "model").mkdir()
    make_model(tmp_path / "model", 100)
    with pytest.raises(InputError, match="at most 100"):
        evaluate(config(), **{**world, "model": tmp_path / "model"}, output=tmp_path)


@pytest.mark.parametrize(("name", "safe"), [("numpy", "numpy"), ("numpy_2", "numpy_2")])
def test_plain_names_of_sources_stay_as_they_are(name, safe):
    assert safe_name(name) == safe


def test_names_that_look_alike_when_made_safe_stay_different():
    assert len({safe_name(name) for name in ("a b", "a_b", "a/b", "a-b", "ä", "")}) == 6


def test_the_gate_gets_every_metric_in_slices_and_the_totals_agree(done):
    output, report = done
    metrics = read_metrics(output)
    assert set(metrics) == {"bits_per_byte", "canary_exposure", "canary_exposure_control", "extraction",
                            "extraction_control", "int8_bytes", "int8_cost", "operations_per_token", "overconfidence",
                            "personal_data", "weight_bytes"}  # fmt: skip
    assert metrics["bits_per_byte"].value() == pytest.approx(report.metrics["bits_per_byte"])
    int8_bits = report.metrics["int8_bits_per_byte"] - report.metrics["bits_per_byte"]
    assert metrics["int8_cost"].value() == pytest.approx(int8_bits)
    assert 0 < abs(int8_bits) < 0.02
    assert metrics["int8_bytes"].value() < 0.5 * metrics["weight_bytes"].value()
    assert metrics["overconfidence"].value() == pytest.approx(report.metrics["overconfidence"])
    assert set(metrics["bits_per_byte"].slices_by("source", 2)) == {"source 0", "source 1"}
    assert set(metrics["bits_per_byte"].slices_by("language", 2)) == {"en", "unknown"}
    assert len(metrics["personal_data"].documents) == 6


@pytest.fixture(scope="module")
def judged(world, tmp_path_factory):
    """An evaluation with a judge to whom the words with which two of three held-out documents begin are toxic."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "output").mkdir()
    labelled = write(folder / "labelled.csv", made_up("The model reads the text", "Some text is short"))
    chosen = config(toxic_texts=labelled.model_dump(), max_new_tokens=12)
    assert [str(path) for path in STAGE.reads(chosen, **world)] == [labelled.path], "the walls let it be read"
    return folder / "output", evaluate(chosen, **world, output=folder / "output")


def test_samples_are_marked_beside_the_beginnings_of_held_out_documents(judged, done):
    output, report = judged
    metrics, samples = read_metrics(output), json.loads((output / "samples.json").read_bytes())
    assert [sample["toxic"] for sample in samples].count(True) == metrics["toxicity"].totals.sum()
    assert metrics["toxicity"].documents == metrics["personal_data"].documents
    assert metrics["toxicity_held_out"].value() == report.metrics["toxicity_held_out"] == pytest.approx(8 / 12)
    assert (report.metrics["toxicity_judge_recall"], report.metrics["toxicity_judge_auc"]) == (1.0, 1.0)
    assert "Toxicity" in (output / "page.html").read_text(encoding="utf-8")
    assert not {"toxicity", "toxicity_judge_auc"} & set(done[1].metrics)


def test_the_marks_of_two_judges_are_of_different_items(judged, world, tmp_path):
    other = write(tmp_path / "other.csv", made_up("dreadful"))
    evaluate(config(toxic_texts=other.model_dump(), max_new_tokens=12), **world, output=tmp_path)
    ours, theirs = read_metrics(judged[0]), read_metrics(tmp_path)
    assert ours["toxicity"].documents == theirs["toxicity"].documents
    assert ours["toxicity"].identity != theirs["toxicity"].identity
    assert ours["personal_data"].identity == theirs["personal_data"].identity


def test_a_judge_learned_from_tweets_calls_nothing_of_a_documentation_toxic(world, tmp_path):
    if not TWEETS.exists():
        pytest.skip(f"no shared data at {TWEETS}")
    (tmp_path / "output").mkdir()
    labelled = toxic_texts(tmp_path / "tweets.csv", most=5000).model_dump()
    report = evaluate(config(toxic_texts=labelled, max_new_tokens=32), **world, output=tmp_path / "output")
    assert report.metrics["toxicity_held_out"] == 0
    assert report.metrics["toxicity_judge_recall"] > 0.5


def test_exposure_is_the_bits_by_which_a_canary_became_easier_to_guess():
    from components.evaluate.memorisation import exposure

    references = np.arange(1.0, 256.0)
    assert exposure(np.array([0.5, 1.5, 63.5, 127.5, 300.0]), references).tolist() == [8, 7, 2, 1, 0]


def test_a_model_that_never_saw_the_canaries_keeps_no_secret_of_them(world, done):
    from components.core.canaries import canary
    from components.evaluate.memorisation import exposures

    metrics = read_metrics(done[0])
    for name in ("canary_exposure", "canary_exposure_control"):
        assert len(metrics[name].documents) == NUM_CANARIES
        assert done[1].metrics[name] == pytest.approx(metrics[name].value())
    secrets = {canary("planted", number) for number in range(64)}

    def losses(is_learned):
        noise = np.random.default_rng(1)
        return lambda texts: np.array([noise.normal(20 - 10 * (is_learned and text in secrets)) for text in texts])

    learned, control = (np.array(table["total"]) for table in exposures(64, 255, losses(True)))
    chance, _ = (np.array(table["total"]) for table in exposures(64, 255, losses(False)))
    assert learned.min() == 8
    assert 0.7 < control.mean() < 2.2
    assert 0.7 < chance.mean() < 2.2


def test_what_would_be_extracted_is_what_greedy_writing_writes(world):
    from components.evaluate.memorisation import count_leading
    from components.model.decoding import load_weights
    from components.model.weights import load_model
    from components.model.writing import Sampling, Writer

    model, greedy = load_model(world["model"]), Sampling(num_tokens=8, temperature=0)
    texts = [[5, 6, 7, 8], [9, 10, 11, 12], [30, 31, 32, 33]]
    writer = Writer(*load_weights(world["model"]))
    written = [writer.write(text, greedy) for text in texts]
    changed = [*written[0][:5], (written[0][5] + 1) % 300, *written[0][6:]]
    windows = np.array([text + rest for text, rest in zip(texts, [changed, *written[1:]], strict=True)], np.int32)
    assert count_leading(model, windows, 8).tolist() == [5, 8, 8]
