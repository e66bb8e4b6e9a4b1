"""How answers are scored, each metric by its well-kept library where there is one.

In: questions and what was said. Out: a row of numbers per question. In between: a metric is a function of the sums of
these rows over any set of questions, so that intervals can draw groups of them. Most are ratios of two sums, which
the gate can compare (``components.core.scores``); BLEU and macro-F1 are not.

    accuracy, exact_match   share of right answers; SQuAD's spelling for the latter (Rajpurkar et al. 2016, section 6.1)
    macro_f1                mean over labels of F1
    brier                   squared error of the probabilities (Brier 1950)
    calibration_error       gap between confidence and accuracy over ten bins (Guo et al. 2017, equation 5)
    token_f1                of the words of an answer, the best over references (Rajpurkar et al. 2016)
    rouge_1, _2, _l         F of ``rouge-score``, with stemming, the best over references (Lin 2004)
    bleu, chrf              of ``sacrebleu`` (Post 2018); chrF as a mean over sentences
    ndcg_10, hit_rate_10    of one right item among ten recommended (Järvelin and Kekäläinen 2002)
    bits_per_byte           −log₂ p of the right answer per byte of its UTF-8
    toxicity                share of answers that a judge calls toxic (``components.core.toxicity``)
    personal_data           pieces of personal data and secrets in an answer (``components.core.personal``)
    distinct_2              different pairs of words per pair written (Li et al. 2016)
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from components.assess.questions import Question, Said
from components.core.personal import find

Floats = npt.NDArray[np.float64]
Rows = Callable[[Sequence[Question], Sequence[Said]], Floats]
_BINS = 10
_DIGITS = 12  # what sums of equal numbers differ by is behind them


@dataclass(frozen=True)
class Metric:
    """One way to score.

    Attributes:
        title: what it is called on a page.
        needs: the field of ``Said`` without which it cannot be measured.
        rows: the numbers of each question.  # [N, k]
        value: the metric of sums of rows; None for the ratio of the first to the second, 0 where that one is nothing.
    """

    title: str
    better: Literal["higher", "lower"]
    needs: Literal["text", "chances", "ranked", "loss_nats", "is_toxic"]
    rows: Rows
    value: Callable[[Floats], float] | None = None
    is_share: bool = True

    def of(self, sums: Floats) -> float:
        """The metric of a set of questions, by the sums of their rows."""
        if self.value is not None:
            return self.value(sums)
        return float(sums[0] / sums[1]) if sums[1] else 0.0

    def can_measure(self, said: Sequence[Said]) -> bool:
        """Whether all that it needs was said."""
        return all(getattr(one, self.needs) is not None for one in said)


def _each(
    score: Callable[[Question, Said], float], size: Callable[[Question, Said], float] = lambda _q, _s: 1.0
) -> Rows:
    """Rows of (score, size)."""

    def rows(questions: Sequence[Question], said: Sequence[Said]) -> Floats:
        pairs = [(score(q, s), size(q, s)) for q, s in zip(questions, said, strict=True)]
        return np.array(pairs, np.float64).reshape(-1, 2)

    return rows


def _is_right(question: Question, said: Said) -> float:
    """1 or 0; where several choices are the likeliest, the share of them that is right, as if a lot were drawn."""
    if said.chances is None:
        return float(said.text in question.references)
    most = max(said.chances.values())
    likeliest = [choice for choice, chance in said.chances.items() if chance == most]
    return sum(choice in question.references for choice in likeliest) / len(likeliest)


def _brier(question: Question, said: Said) -> float:
    chances = said.chances or {}
    return sum((chance - (choice == question.answer)) ** 2 for choice, chance in chances.items())


def _normal(text: str) -> str:
    """SQuAD's spelling: lower case, no punctuation, no articles, single blanks."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def _exact(question: Question, said: Said) -> float:
    return float(_normal(said.text or "") in {_normal(text) for text in question.references})


def _token_f1(question: Question, said: Said) -> float:
    return max(_f1(_normal(said.text or "").split(), _normal(text).split()) for text in question.references)


def _f1(said: Sequence[str], right: Sequence[str]) -> float:
    shared = (Counter(said) & Counter(right)).total()
    return 2 * shared / (len(said) + len(right)) if shared else float(list(said) == list(right))


def _rouge(kind: str) -> Rows:
    def score(question: Question, said: Said) -> float:
        found = _scorer(kind).score_multi(list(question.references), said.text or "")
        return float(found[kind].fmeasure)

    return _each(score)


@cache
def _scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=True)


def _chrf(question: Question, said: Said) -> float:
    return float(_chrf_scorer().sentence_score(said.text or "", list(question.references)).score) / 100


def _bleu_rows(questions: Sequence[Question], said: Sequence[Said]) -> Floats:
    """Lengths of the answer and of the nearest reference, then right and all n-grams of one to four words."""
    found = [
        _bleu_of(question.answer).corpus_score([one.text or ""], [[text] for text in question.references])
        for question, one in zip(questions, said, strict=True)
    ]
    return np.array([[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in found], np.float64).reshape(-1, 10)


def _bleu(sums: Floats) -> float:
    numbers = sums.round().astype(int).tolist()
    return float(_bleu_by("13a").compute_bleu(numbers[2:6], numbers[6:10], numbers[0], numbers[1]).score) / 100


def _bleu_of(answer: str) -> Any:
    """BLEU with the words of a language: Chinese ones are single characters."""
    return _bleu_by("zh" if re.search("[\u4e00-\u9fff]", answer) else "13a")


@cache
def _bleu_by(words: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=words)


@cache
def _chrf_scorer() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _f1_rows(questions: Sequence[Question], said: Sequence[Said]) -> Floats:
    """For each label: right, said, due."""
    labels = sorted({question.answer for question in questions} | {str(one.text) for one in said})
    place = {label: number for number, label in enumerate(labels)}
    rows = np.zeros((len(questions), 3, len(labels)))
    for row, question, one in zip(rows, questions, said, strict=True):
        row[0, place[question.answer]] = one.text == question.answer
        row[1, place[str(one.text)]] = row[2, place[question.answer]] = 1
    return rows.reshape(len(questions), -1)


def _macro_f1(sums: Floats) -> float:
    right, told, due = sums.reshape(3, -1)
    is_there = told + due > 0
    return float(np.mean(2 * right[is_there] / (told + due)[is_there]))


def _calibration_rows(questions: Sequence[Question], said: Sequence[Said]) -> Floats:
    """For each bin of confidence: answers, their confidence, those that are right."""
    rows = np.zeros((len(questions), 3, _BINS))
    for row, question, one in zip(rows, questions, said, strict=True):
        confidence = max((one.chances or {}).values())
        row[:, min(int(confidence * _BINS), _BINS - 1)] = 1, confidence, _is_right(question, one)
    return rows.reshape(len(questions), -1)


def _calibration_error(sums: Floats) -> float:
    count, confidence, right = sums.reshape(3, -1)
    return round(float(np.abs(confidence - right).sum() / count.sum()), _DIGITS)


def _place(question: Question, said: Said) -> int | None:
    """The place of the right item among the ten recommended, from 0."""
    ten = (said.ranked or ())[:10]
    return ten.index(question.answer) if question.answer in ten else None


def _ndcg(question: Question, said: Said) -> float:
    place = _place(question, said)
    return 0.0 if place is None else 1 / math.log2(place + 2)


def _bits(_question: Question, said: Said) -> float:
    return (said.loss_nats or 0.0) / math.log(2)


def _bytes(question: Question, _said: Said) -> float:
    return float(len(question.answer.encode()))


def _pieces(_question: Question, said: Said) -> float:
    return float(len(find((said.text or "").encode())))


def _pairs(said: Said) -> list[tuple[str, str]]:
    return list(pairwise((said.text or "").split()))


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", "higher", "text", _each(_is_right)),
    "macro_f1": Metric("macro-F1", "higher", "text", _f1_rows, _macro_f1),
    "brier": Metric("Brier score", "lower", "chances", _each(_brier), is_share=False),
    "calibration_error": Metric("calibration error", "lower", "chances", _calibration_rows, _calibration_error),
    "exact_match": Metric("exact match", "higher", "text", _each(_exact)),
    "token_f1": Metric("word F1", "higher", "text", _each(_token_f1)),
    "rouge_1": Metric("ROUGE-1", "higher", "text", _rouge("rouge1")),
    "rouge_2": Metric("ROUGE-2", "higher", "text", _rouge("rouge2")),
    "rouge_l": Metric("ROUGE-L", "higher", "text", _rouge("rougeL")),
    "bleu": Metric("BLEU", "higher", "text", _bleu_rows, _bleu),
    "chrf": Metric("chrF", "higher", "text", _each(_chrf)),
    "ndcg_10": Metric("nDCG@10", "higher", "ranked", _each(_ndcg)),
    "hit_rate_10": Metric("HR@10", "higher", "ranked", _each(lambda q, s: float(_place(q, s) is not None))),
    "bits_per_byte": Metric("bits per byte", "lower", "loss_nats", _each(_bits, _bytes), is_share=False),
    "toxicity": Metric("toxic answers", "lower", "is_toxic", _each(lambda _q, s: float(bool(s.is_toxic)))),
    "personal_data": Metric("personal data in an answer", "lower", "text", _each(_pieces), is_share=False),
    "distinct_2": Metric(
        "different word pairs", "higher", "text",
        _each(lambda _q, s: float(len(set(_pairs(s)))), lambda _q, s: float(len(_pairs(s)))),
    ),
}  # fmt: skip
