"""What little effort achieves on the same questions: the floors that a model must stand above to be worth anything.

In: questions to learn from and questions to answer. Out: what a floor says to each. In between: a floor learns from the
very examples that the model may learn from, or from none, and is scored by the same metrics on the same questions.

    chance             any of the choices that a question brings: right one time in as many as there are
    majority           always the commonest label, with the labels' shares as probabilities
    word_regression    logistic regression on TF-IDF of words and their pairs (of characters where words are not spaced)
    commonest_answer   always the commonest answer
    nearest_answer     the answer to the question that is nearest by TF-IDF
    copy               the text itself
    lead               the first three lines of the text, or sentences where it has fewer lines
    first_sentence     the first sentence of the text
    popularity         what is chosen most often
    item_neighbours    what is nearest to the last ten of the history: the cosines between an item and the 20 items that
                       are most like it, summed over those in the history (Sarwar et al. 2001, sections 3.1 and 3.2)
    n_gram             a 5-gram model of prompts and answers (``components.model.ngram``)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from components.assess.answers import Respondent
from components.assess.questions import Question, Said

Questions = Sequence[Question]
_LINES, _RECOMMENDED = 3, 10
_NEIGHBOURS, _LATEST, _BLOCK_ITEMS = 20, 10, 256
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+")
_CHINESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


class Floor(NamedTuple):
    """One floor.

    Attributes:
        title: what it is called on a page.
        say: what it says, having seen the first questions, to the second.
        is_learned: whether it needs questions to learn from.
    """

    title: str
    say: Callable[[Questions, Questions, Respondent], list[Said]]
    is_learned: bool = True


def _chance(_learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    return [
        Said(text=question.choices[0], chances=dict.fromkeys(question.choices, 1 / len(question.choices)))
        for question in asked
    ]


def _majority(learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    counts = Counter(question.answer for question in learned)
    chances = {label: count / len(learned) for label, count in sorted(counts.items())}
    return [Said(text=max(chances, key=chances.__getitem__), chances=chances)] * len(asked)


def _word_regression(learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    from sklearn.linear_model import LogisticRegression

    words = _words(learned)
    model = LogisticRegression(C=10.0, max_iter=1000)
    model.fit(words.fit_transform(_texts(learned)), [question.answer for question in learned])
    labels = [str(label) for label in model.classes_]
    chances = model.predict_proba(words.transform(_texts(asked)))
    return [
        Said(text=labels[int(row.argmax())], chances=dict(zip(labels, row.tolist(), strict=True))) for row in chances
    ]


def _commonest_answer(learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    counts = Counter(question.answer for question in learned)
    return [Said(text=min(counts, key=lambda answer: (-counts[answer], answer)))] * len(asked)


def _nearest_answer(learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    words = _words(learned)
    known = words.fit_transform(_texts(learned))
    nearest = np.asarray((words.transform(_texts(asked)) @ known.T).argmax(axis=1)).ravel()
    return [Said(text=learned[int(number)].answer) for number in nearest]


def _copy(_learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    return [Said(text=_longest(question)) for question in asked]


def _lead(_learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    return [Said(text=" ".join(_sentences(_longest(question))[:_LINES])) for question in asked]


def _first_sentence(_learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    return [Said(text=_SENTENCE_END.split(_longest(question))[0]) for question in asked]


def _popularity(learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    counts = Counter(item for basket in _baskets(learned) for item in basket)
    ranked = sorted(counts, key=lambda item: (-counts[item], item))
    return [Said(ranked=_without_history(question, ranked)[:_RECOMMENDED]) for question in asked]


def _item_neighbours(learned: Questions, asked: Questions, _model: Respondent) -> list[Said]:
    from scipy.sparse import csr_array

    baskets = _baskets(learned)
    items = sorted({item for basket in baskets for item in basket})
    place = {item: number for number, item in enumerate(items)}
    pairs = [(row, place[item]) for row, basket in enumerate(baskets) for item in basket]
    rows, columns = zip(*pairs, strict=True)
    chosen = csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(baskets), len(items)))
    lengths = np.sqrt(np.asarray(chosen.sum(axis=0)).ravel())
    cosines = _of_the_nearest(csr_array(chosen / lengths))
    return [Said(ranked=_neighbours(question, items, place, cosines)) for question in asked]


def _of_the_nearest(scaled: Any) -> Any:
    """The cosine of each item with those most like it, 0 with all others; some items at once, for want of memory.

    scaled [baskets, items]; the result [items, items], by columns.
    """
    from scipy.sparse import csr_array, vstack

    by_item, blocks = csr_array(scaled.T), []
    for start in range(0, by_item.shape[0], _BLOCK_ITEMS):
        rows = (by_item[start : start + _BLOCK_ITEMS] @ scaled).toarray()
        np.fill_diagonal(rows[:, start:], 0)
        least = np.sort(rows, axis=1)[:, -_NEIGHBOURS:][:, :1]
        blocks.append(csr_array(np.where(rows >= least, rows, 0)))
    return vstack(blocks).tocsc()


def _neighbours(question: Question, items: Sequence[str], place: dict[str, int], cosines: Any) -> tuple[str, ...]:
    """The items with the largest sum of cosines to the last of the history; of equal ones the first by name."""
    history = [place[item] for item in question.request.get("history", ())[-_LATEST:] if item in place]
    if not history:
        return ()
    near = np.asarray(cosines[:, history].sum(axis=1)).ravel()
    best = np.argsort(-near, kind="stable")[: _RECOMMENDED + len(question.request["history"])]
    return _without_history(question, [items[number] for number in best])[:_RECOMMENDED]


def _n_gram(learned: Questions, asked: Questions, model: Respondent) -> list[Said]:
    from components.model.ngram import NGramModel

    codec = model.codec
    counted = NGramModel(_documents(learned, codec), codec.vocabulary_size, codec.end_of_text)
    found = counted.log_probabilities(_documents(asked, codec))
    lengths = [len(tokens) + 1 for tokens in codec.encode_all([question.answer for question in asked])]
    return [Said(loss_nats=-float(values[-length:].sum())) for values, length in zip(found, lengths, strict=True)]


def _documents(questions: Questions, codec: Any) -> list[Any]:
    prompts = codec.encode_all([question.prompt for question in questions])
    answers = codec.encode_all([question.answer for question in questions])
    end = np.array([codec.end_of_text])
    return [np.concatenate([*pair, end]) for pair in zip(prompts, answers, strict=True)]


def _baskets(questions: Questions) -> list[set[str]]:
    """All that each group (a user, a list) chose."""
    baskets: dict[str, set[str]] = {}
    for question in questions:
        baskets.setdefault(question.group, set()).update([*question.request.get("history", ()), question.answer])
    return list(baskets.values())


def _without_history(question: Question, ranked: Sequence[str]) -> tuple[str, ...]:
    history = set(question.request.get("history", ()))
    return tuple(item for item in ranked if item not in history)


def _longest(question: Question) -> str:
    """The longest text of the request: what a summary, a translation or an answer is made of."""
    return max((part for part in question.request.values() if isinstance(part, str)), key=len, default=question.text)


def _sentences(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if len(lines) >= _LINES else _SENTENCE_END.split(text.strip())


def _texts(questions: Questions) -> list[str]:
    return [question.text for question in questions]


def _words(questions: Questions) -> Any:
    """TF-IDF of words and their pairs; of characters and theirs in a language that does not space its words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    is_spaced = sum(bool(_CHINESE.search(question.text)) for question in questions) * 2 < len(questions)
    if is_spaced:
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")  # noqa: S106
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, analyzer="char")


FLOORS: dict[str, Floor] = {
    "chance": Floor("chance", _chance, is_learned=False),
    "majority": Floor("commonest label", _majority),
    "word_regression": Floor("TF-IDF and logistic regression", _word_regression),
    "commonest_answer": Floor("commonest answer", _commonest_answer),
    "nearest_answer": Floor("answer to the nearest question", _nearest_answer),
    "copy": Floor("copy of the text", _copy, is_learned=False),
    "lead": Floor("first three lines or sentences", _lead, is_learned=False),
    "first_sentence": Floor("first sentence", _first_sentence, is_learned=False),
    "popularity": Floor("most popular", _popularity),
    "item_neighbours": Floor("item neighbours", _item_neighbours),
    "n_gram": Floor("5-gram", _n_gram),
}
