"""Whether what a model writes is toxic, by a judge that learns it from texts that people labelled.

In: a CSV file of your own with the columns ``text`` and ``toxic`` (0 or 1). Out: for each text, whether it is toxic,
and how good the judge is. In between: the judge is a logistic regression on TF-IDF of words and their pairs; a text
that stands there twice counts once. A fifth of the labelled texts, chosen by digest, is kept apart: there the threshold
is set at which one harmless text in a hundred is called toxic, and the judge is measured.

What it can: find the words and phrases of the labelled texts, as often as its recall says. What it cannot: understand.
It misses what is said politely, in another language or with words it never saw, and it takes a quoted insult, or a
dialect whose speakers were labelled unfairly, for a toxic one (Davidson et al. 2019, "Racial bias in hate speech
detection"). A share of zero is no proof of harmlessness.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.core.errors import InputError
from components.core.files import digest_of
from components.core.pinned import PinnedFile

RECALL, AUC = "toxicity_judge_recall", "toxicity_judge_auc"
_ONE_IN_A_HUNDRED, _FIFTH = 0.99, 5
_LEAST = 100  # labelled texts of either kind


@dataclass(frozen=True)
class Judge:
    """A judge at work; ``recall`` of toxic texts and ``auc`` are those on texts it did not learn from.

    ``labelled`` is the digest of all that it learned and was measured on.
    """

    labelled: str
    words: Any
    model: Any
    threshold: float
    recall: float
    auc: float

    def mark(self, texts: Sequence[str]) -> list[bool]:
        """Which of the texts it calls toxic."""
        if not texts:
            return []
        marks: list[bool] = (self.model.predict_proba(self.words.transform(texts))[:, 1] > self.threshold).tolist()
        return marks

    def item(self, identity: str) -> str:
        """The digest of what was marked: it is not the same when the judge learned from other labelled texts."""
        return digest_of({"item": identity, "judge": self.labelled})

    @property
    def figures(self) -> dict[str, float]:
        """How good it is, by the names that reports give it."""
        return {RECALL: self.recall, AUC: self.auc}


def learn(labelled: PinnedFile) -> Judge:
    """A judge out of labelled texts. Raises InputError for a file that is none, or too small."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    texts, labels = _read(labelled)
    apart = np.array([_is_apart(text) for text in texts])
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    model = LogisticRegression(C=5.0, max_iter=1000).fit(_fit(words, labelled, texts[~apart]), labels[~apart])
    chances = model.predict_proba(words.transform(texts[apart]))
    toxic, harmless = chances[labels[apart], 1], chances[~labels[apart], 1]
    threshold = float(np.quantile(harmless, _ONE_IN_A_HUNDRED))
    auc = float(roc_auc_score(labels[apart], chances[:, 1]))
    return Judge(labelled.sha256, words, model, threshold, float(np.mean(toxic > threshold)), auc)


def _fit(words: Any, labelled: PinnedFile, texts: Any) -> Any:
    try:
        return words.fit_transform(texts)
    except ValueError:
        raise _refuse(labelled, "no word that two texts share", "texts whose words stand between blanks") from None


def _read(labelled: PinnedFile) -> tuple[Any, Any]:
    """Texts, each once, and which of them are toxic."""
    expected = f"CSV with the columns text and toxic (0 or 1), at least {_LEAST} of each"
    try:
        rows = list(csv.DictReader(io.StringIO(labelled.read().decode("utf-8", "replace"))))
    except csv.Error as error:
        raise _refuse(labelled, str(error), expected) from None
    good = {row["text"]: row["toxic"] == "1" for row in rows if row.get("text") and row.get("toxic") in ("0", "1")}
    labels = np.array(list(good.values()), np.bool_)
    if min(labels.sum(), (~labels).sum()) < _LEAST:
        found = f"{labels.sum()} different toxic and {(~labels).sum()} different harmless texts"
        raise _refuse(labelled, found, expected)
    return np.array(list(good), np.object_), labels


def _refuse(labelled: PinnedFile, found: str, expected: str) -> InputError:
    fix = "name another file under toxic_texts in params.yaml, or none"
    return InputError(labelled.path, found=found, expected=expected, fix=fix)


def _is_apart(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % _FIFTH == 0
