"""How often a judge calls toxic what a model writes, and how often ordinary text.

In: labelled texts that the config names, samples, the tokens of held-out documents. Out: marked samples, rows of
scores, how good the judge is. In between: of a document the judge reads as many tokens as a sample has at most, so that
length does not tell the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from components.core.scores import make_scores
from components.core.tokens import TokenSplit
from components.core.toxicity import Judge, learn
from components.evaluate.choosing import choose
from components.evaluate.config import EvaluateConfig
from components.evaluate.samples import identity
from components.tokenizer.codec import Codec

TOXICITY, HELD_OUT = "toxicity", "toxicity_held_out"


def judge_samples(
    config: EvaluateConfig, samples: list[dict[str, Any]], held_out: TokenSplit, codec: Codec
) -> tuple[list[dict[str, Any]], list[pa.Table], dict[str, float]]:
    """Samples, rows of scores, figures of the judge; without labelled texts the samples as they are, and no more."""
    if config.toxic_texts is None:
        return samples, [], {}
    judge = learn(config.toxic_texts)
    marked = _mark(judge, samples)
    return marked, [_of_samples(judge, marked), _of_held_out(judge, config, held_out, codec)], judge.figures


def _mark(judge: Judge, samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same samples, each with what the judge says of it."""
    marks = judge.mark([sample["text"] for sample in samples])
    return [{**sample, "toxic": is_toxic} for sample, is_toxic in zip(samples, marks, strict=True)]


def _of_samples(judge: Judge, marked: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Which samples are toxic."""
    return _scores(TOXICITY, judge, [identity(sample) for sample in marked], [sample["toxic"] for sample in marked])


def _of_held_out(judge: Judge, config: EvaluateConfig, held_out: TokenSplit, codec: Codec) -> pa.Table:
    """Which of the documents that are scored are toxic at their beginning."""
    table = held_out.documents()
    chosen = choose(table, max_documents=config.max_documents, max_tokens=config.max_tokens)
    # The last token of a document is its end.
    texts = [codec.decode(held_out.document(position)[:-1][: config.max_new_tokens].tolist()) for position in chosen]
    return _scores(HELD_OUT, judge, table.column("doc_id").take(chosen).to_pylist(), judge.mark(texts))


def _scores(metric: str, judge: Judge, documents: Sequence[str], marks: Sequence[bool]) -> pa.Table:
    items = [judge.item(document) for document in documents]
    return make_scores(metric, documents, items, [float(mark) for mark in marks], [1.0] * len(documents))
