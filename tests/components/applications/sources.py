"""Real data of every kind of application, as a user would name it: sources, and the section of the application.

``SOURCES[application]`` is a list of sources for ``collect`` with paths below the folder of shared data;
``PREPARE[application]`` the section ``applications.NAME.prepare`` under which they become examples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.worlds import SHARED_DATA

Values = dict[str, Any]


def source(name: str, application: str, path: str | list[str], form: str, licence: str, **values: Any) -> Values:
    """A source of records, its paths below the shared data."""
    paths = [str(SHARED_DATA / part) for part in ([path] if isinstance(path, str) else path)]
    return {"name": name, "application": application, "paths": paths, "format": form, "licence": licence, **values}


SST2, NEWS = "free for research", "non-commercial research"
SOURCES: dict[str, list[Values]] = {
    "sentiment": [
        source(f"sst2-{split}", "sentiment", f"sst2/stsa.binary.{name}", "lines", SST2, split=split,
               columns=["label", "text"], delimiter=" ", language="en")
        for split, name in (("train", "train"), ("validation", "dev"), ("test", "test"))
    ],
    "classify": [
        source("banking77-train", "classify", "banking77/train.csv", "csv", "CC-BY-4.0", split="train", language="en"),
        source("banking77-test", "classify", "banking77/test.csv", "csv", "CC-BY-4.0", split="test", language="en"),
    ],
    "translate": [
        source("multi30k-train", "translate", ["multi30k_ende/train.en.gz", "multi30k_ende/train.de.gz"], "parallel",
               "non-commercial research", split="train", columns=["en", "de"]),
        source("multi30k-val", "translate", ["multi30k_ende/val.en.gz", "multi30k_ende/val.de.gz"], "parallel",
               "non-commercial research", split="validation", columns=["en", "de"]),
        source("multi30k-test", "translate", ["multi30k_ende/test_2016_flickr.en.gz",
               "multi30k_ende/test_2016_flickr.de.gz"], "parallel", "non-commercial research", split="test",
               columns=["en", "de"]),
    ],
    "summarise": [
        source("dialogsum-train", "summarise", "dialogsum/dialogsum.train.jsonl.gz", "jsonl", "CC-BY-NC-SA-4.0",
               split="train", language="en"),
        source("dialogsum-dev", "summarise", "dialogsum/dialogsum.dev.jsonl", "jsonl", "CC-BY-NC-SA-4.0",
               split="test", language="en"),
    ],
    "chat": [source("dolly", "chat", "sft_dolly_tune/dolly_hhrlhf_train_small.jsonl", "jsonl", "CC-BY-SA-3.0",
                    language="en")],
    "answer": [source("xquad", "answer", "xquad_tune/xquad.en.json", "squad", "CC-BY-SA-4.0", language="en")],
    "recommend": [
        source("ratings", "recommend", "movielens_small/ratings.csv", "csv", "research use"),
        source("movies", "recommend", "movielens_small/movies.csv", "csv", "research use"),
    ],
    "grammar": [source("blimp", "grammar", "blimp_tune/*_1.jsonl.gz", "jsonl", "CC-BY-4.0", split="test",
                       language="en")],
}  # fmt: skip
PREPARE: dict[str, Values] = {
    "sentiment": {"label_names": {"0": "negative", "1": "positive"}},
    "classify": {"columns": {"label": "category"}},
    "translate": {"columns": {"text": "en", "translation": "de"}},
    "summarise": {"columns": {"text": "dialogue"}},
    "chat": {},
    "answer": {},
    "grammar": {"columns": {"good": "sentence_good", "bad": "sentence_bad"}},
    "recommend": {
        "columns": {"user": "userId", "item": "movieId", "time": "timestamp"},
        "options": {"history_items": 5, "train_items": 3},
    },
}
# AG News and THUCNews are classified too, from a table without a header and from lines of a text.
MORE: dict[str, tuple[Values, Values]] = {
    "agnews": (
        source("agnews", "classify", "agnews_tune/ag_tune.csv", "csv", NEWS, columns=["label", "title", "text"]),
        {"columns": {"text": "{title}. {text}"},
         "label_names": {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}},
    ),
    "thucnews": (
        source("thucnews", "classify", "thucnews_tune/dev.txt", "lines", NEWS, columns=["text", "label"],
               language="zh"),
        {"label_names": dict(zip("0123456789", ("finance", "realty", "stocks", "education", "science", "society",
                                                "politics", "sports", "game", "entertainment"), strict=True))},
    ),
    "tatoeba": (
        source("tatoeba", "translate", "tatoeba_enzh_tune/cmn.tsv", "lines", "CC-BY-2.0", columns=["en", "zh"]),
        {"columns": {"text": "en", "translation": "zh"}, "options": {"target": "zh"}},
    ),
}  # fmt: skip


def require(sources: list[Values]) -> None:
    """Skip, with the path that is missing, where the shared data is not here."""
    for path in (Path(path) for one in sources for path in one["paths"]):
        if not path.exists() and not any(path.parent.glob(path.name)):
            pytest.skip(f"no shared data at {path}")
