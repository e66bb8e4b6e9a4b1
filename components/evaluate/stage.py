"""The stage ``evaluate``: a model and the tokens of held-out documents → scores, intervals, samples, a page.

In: a trained model, the packed corpus and its tokenizer. Out: ``documents.parquet`` (the scores of each document),
``scores.parquet`` (all that the gate compares), ``samples.json``, ``page.html`` and flat metrics. In between: only the
test split is scored, each token once, and a 5-gram model counted on the training split is scored on the same tokens.
What takes time is counted in operations and never measured, so that equal inputs give equal bytes. Labelled texts that
the config names make a judge of the samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.core.errors import InputError
from components.core.files import sha256_bytes, write_json, write_whole
from components.core.scores import property_of_model, write_scores
from components.core.stage import Books, Report
from components.evaluate.config import EvaluateConfig

if TYPE_CHECKING:
    import pyarrow as pa

    from components.core.tokens import TokenSplit
    from components.evaluate.scoring import Floats, Ints, Tokens
    from components.model.transformer import Transformer
    from components.tokenizer.codec import Codec

DOCUMENTS, SAMPLES, PAGE = "documents.parquet", "samples.json", "page.html"
_ROW_GROUP_ROWS = 10_000
_BATCH_TOKENS = 4096


def evaluate(config: EvaluateConfig, *, model: Path, tokens: Path, tokenizer: Path, output: Path) -> Report:
    """Score held-out documents. Raises InputError when there is none, or when the inputs contradict each other."""
    import pyarrow.parquet as pq

    from components.core.tokens import TokenSplit
    from components.evaluate import memorisation, page, samples, summary, toxicity
    from components.model.decoding import load_weights
    from components.model.weights import load_model
    from components.model.writing import Writer
    from components.tokenizer.codec import Codec

    loaded, codec, held_out = load_model(model), Codec.load(tokenizer), TokenSplit.open(tokens, "test")
    _check_vocabulary(loaded, codec, tokenizer)
    scored = _score(config, loaded, codec, held_out, TokenSplit.open(tokens, "train"))
    overall, sources = summary.summarise(scored, config), summary.summarise_sources(scored, config)
    drawn = samples.draw_samples(config, Writer(*load_weights(model)), codec)
    drawn, judged, of_judge = toxicity.judge_samples(config, drawn, held_out, codec)
    pq.write_table(scored, output / DOCUMENTS, compression="zstd", row_group_size=_ROW_GROUP_ROWS)
    write_json(output / SAMPLES, drawn)
    measured = _measures(config, loaded, codec, tokens, drawn)
    write_scores(output, [*summary.score_tables(scored), *measured, *judged, *_properties(loaded, model)])
    given_away, toxic = memorisation.means(measured), {**memorisation.means(judged), **of_judge}
    write_whole(output / PAGE, page.draw(overall, sources, given_away, toxic, drawn, config.level))
    dropped = {"beyond the limits or empty": held_out.num_documents - scored.num_rows}
    metrics = {**summary.metrics(overall, sources), **given_away, **toxic}
    return Report(metrics, Books(held_out.num_documents, scored.num_rows, dropped))


def _score(
    config: EvaluateConfig, model: Transformer, codec: Codec, held_out: TokenSplit, training: TokenSplit
) -> pa.Table:
    """The table of scored documents, by both models."""
    import pyarrow as pa

    from components.evaluate.choosing import choose
    from components.evaluate.summary import SCORED

    table = held_out.documents()
    chosen = choose(table, max_documents=config.max_documents, max_tokens=config.max_tokens)
    if not len(chosen):
        raise _refuse(held_out, f"{held_out.num_documents} documents, none to score", "documents within limits")
    documents = [held_out.document(position) for position in chosen]
    rows = table.take(chosen)
    columns = {
        **{name: rows.column(name) for name in rows.column_names},
        "text_sha256": _text_digests(held_out, documents, rows.column("num_bytes").to_pylist(), codec),
        **dict(zip(("loss_nats", "overconfidence"), _judge(model, documents, codec).T, strict=True)),
        "int8_loss_nats": _judge(_of_bytes(model), documents, codec)[:, 0],
        "baseline_loss_nats": _baseline_losses(config, training, documents, codec),
    }
    return pa.table([columns[name] for name in SCORED.names], schema=SCORED)


def _measures(
    config: EvaluateConfig, model: Transformer, codec: Codec, tokens: Path, drawn: Sequence[Any]
) -> list[pa.Table]:
    """What the model gives away of its training."""
    from components.core.tokens import TokenSplit, read_layout
    from components.evaluate import memorisation as memory

    def losses(texts: Sequence[str]) -> Floats:
        documents = [np.append(tokens, codec.end_of_text) for tokens in codec.encode_all(texts)]
        return _judge(model, documents, codec)[:, 0]

    seen, unseen = TokenSplit.open(tokens, "train"), TokenSplit.open(tokens, "test")
    return [
        *memory.exposures(read_layout(tokens).canaries, config.canary_references, losses),
        memory.extraction(config, model, seen, memory.EXTRACTION, codec.end_of_text),
        memory.extraction(config, model, unseen, memory.CONTROL, codec.end_of_text),
        memory.personal_data(drawn),
    ]


def _properties(model: Transformer, folder: Path) -> list[pa.Table]:
    """What a model costs, whatever it is asked."""
    from components.model.int8 import num_bytes, quantise
    from components.model.weights import WEIGHTS

    return [
        property_of_model("weight_bytes", (folder / WEIGHTS).stat().st_size),
        property_of_model("int8_bytes", num_bytes(quantise(_weights(model)))),
        property_of_model("operations_per_token", _operations_per_token(model)),
    ]


def _weights(model: Transformer) -> dict[str, npt.NDArray[np.float32]]:
    return {name: np.asarray(weight.numpy()) for name, weight in model.named_weights.items()}


def _of_bytes(model: Transformer) -> Transformer:
    """The model that its weights of one byte each stand for."""
    from components.model.int8 import quantise, widen
    from components.model.weights import build_model

    return build_model(model.config, widen(quantise(_weights(model))))


def _operations_per_token(model: Transformer) -> int:
    """Multiplications and additions for one token at a full context (Kaplan et al. 2020, section 2.1)."""
    shapes = {name: weight.shape for name, weight in model.named_weights.items() if "position" not in name}
    attention = 2 * model.config.num_layers * model.config.context_tokens * model.config.width
    return 2 * (sum(int(prod(shape)) for shape in shapes.values() if len(shape) > 1) + attention)


def _judge(model: Transformer, documents: Sequence[Tokens], codec: Codec) -> Floats:
    """Loss in nats of each document, and by how much the model is surer of its likeliest tokens than right.  # [D, 2]

    The latter is calibration in the large (Cox 1958). The Brier score would not do: it grows with every model that
    dares more, however well calibrated.
    """
    from components.evaluate.scoring import score_documents
    from components.model.scoring import token_judgements

    def score(windows: Ints) -> npt.NDArray[np.floating]:
        loss, chance, is_best = np.moveaxis(token_judgements(model, windows), -1, 0)
        return np.stack([loss, chance - is_best], axis=-1)

    return score_documents(
        documents, score, context_tokens=model.config.context_tokens,
        batch_tokens=_BATCH_TOKENS, end_of_text=codec.end_of_text,
    )  # fmt: skip


def _baseline_losses(
    config: EvaluateConfig, training: TokenSplit, documents: Sequence[Tokens], codec: Codec
) -> list[float]:
    from components.core.progress import Progress
    from components.evaluate.choosing import choose
    from components.model.ngram import ORDER, NGramModel

    chosen = choose(training.documents(), max_tokens=config.baseline_max_tokens)
    if not len(chosen):
        raise _refuse(training, "nothing to count", "training documents within limits")
    with Progress("counting 5-grams", total=ORDER, unit="orders") as progress:
        seen = [training.document(position) for position in chosen]
        baseline = NGramModel(seen, codec.vocabulary_size, codec.end_of_text, on_order=progress.advance)
    return [-float(found.sum()) for found in baseline.log_probabilities(documents)]


def _text_digests(split: TokenSplit, documents: Sequence[Tokens], sizes: Sequence[int], codec: Codec) -> list[str]:
    """The digest of each text, by which models with other tokenizers know that they were scored on the same one."""
    texts = [codec.decode_bytes(document.tolist()) for document in documents]
    for text, size in zip(texts, sizes, strict=True):
        if len(text) != size:
            raise _refuse(split, f"tokens of {len(text)} bytes for a document of {size}", "tokens of that tokenizer")
    return [sha256_bytes(text) for text in texts]


def _check_vocabulary(model: Transformer, codec: Codec, tokenizer: Path) -> None:
    if codec.vocabulary_size > model.config.vocabulary_size:
        raise InputError(
            str(tokenizer), found=f"{codec.vocabulary_size} tokens", expected=f"at most {model.config.vocabulary_size}",
            fix="evaluate a model with the tokenizer that it was trained with",
        )  # fmt: skip


def _refuse(split: TokenSplit, found: str, expected: str) -> InputError:
    fix = "look at the limits of evaluate and at the splits of preprocess in params.yaml, then run `pedigree run`"
    return InputError(f"{split.folder}, split {split.name}", found=found, expected=expected, fix=fix)
