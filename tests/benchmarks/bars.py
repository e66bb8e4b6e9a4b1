"""The tasks that applications are measured on: their records, each in its split, and what must be reached.

In: the shared data. Out: records with the fields of an application. In between: splits are those that the data comes
with; where it comes with none, a hash of the text decides, so that the same record is always in the same part. What
stands in a test part is never learned: records that repeat one are left out of the others. English news and questions
are lower-cased, as the words of their floor are. Films and intents are numbers: their names are many tokens long, and
how a name goes on is not what is asked.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from components.ingest import FilesSource
from components.ingest.limits import Limits
from components.ingest.readers import read_file
from tests.worlds import SHARED_DATA

Record = dict[str, str]
Placed = tuple[str, Record]
_TOPICS = ("finance", "realty", "stocks", "education", "science", "society", "politics", "sports", "game",
           "entertainment")  # fmt: skip
_NEWS = ("World", "Sports", "Business", "Sci/Tech")


class Bar(NamedTuple):
    """A task and what it must reach.

    Attributes:
        application: whose examples its records are.
        read: the records with their splits.
        metric: the figure that counts.
        least: what it must be at least, where the task names a figure; the floors must be beaten either way.
        corpus: which of ``CORPORA`` is read before anything is asked; without, the examples of the training part are.
    """

    application: str
    read: Callable[[], Iterator[Placed]]
    metric: str
    least: float | None = None
    corpus: str = ""


def _sst2() -> Iterator[Placed]:
    for split, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        for line in _lines(f"sst2/stsa.binary.{name}"):
            label, text = line.split(" ", 1)
            yield split, {"text": text, "label": ("negative", "positive")[int(label)]}


def _agnews() -> Iterator[Placed]:
    with (SHARED_DATA / "agnews_tune" / "ag_tune.csv").open(encoding="utf-8", newline="") as file:
        for label, title, text in csv.reader(file):
            whole = f"{title}\n{text}".lower()
            yield _divide(whole, validation=0.05, test=0.2), {"text": whole, "label": _NEWS[int(label) - 1]}


def _thucnews() -> Iterator[Placed]:
    for line in _lines("thucnews_tune/dev.txt"):
        text, label = line.split("\t")
        yield _divide(text, validation=0.05, test=0.2), {"text": text, "label": _TOPICS[int(label)]}


def _banking77() -> Iterator[Placed]:
    rows = {part: _table(f"banking77/{part}.csv") for part in ("train", "test")}
    intents = sorted({row["category"] for row in rows["train"]})
    held = {_plain(row["text"]) for row in rows["test"]}
    yield from (("test", _question(row, intents)) for row in rows["test"])
    for row in rows["train"]:
        if _plain(row["text"]) not in held:
            yield _divide(row["text"], validation=0.05), _question(row, intents)


def _question(row: Mapping[str, str], intents: Sequence[str]) -> Record:
    return {"text": row["text"].lower(), "label": str(intents.index(row["category"]))}


def _multi30k() -> Iterator[Placed]:
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test_2016_flickr")):
        pair = (_lines(f"multi30k_ende/{name}.{language}.gz") for language in ("en", "de"))
        for text, translation in zip(*pair, strict=True):
            yield split, {"text": text, "translation": translation}


def _dialogsum() -> Iterator[Placed]:
    parts = {name: [json.loads(line) for line in _lines(f"dialogsum/dialogsum.{name}")]
             for name in ("dev.jsonl", "train.jsonl.gz")}  # fmt: skip
    seen = {_plain(row["dialogue"]) for row in parts["dev.jsonl"]}
    yield from (("test", _dialogue(row)) for row in parts["dev.jsonl"])
    for row in parts["train.jsonl.gz"]:
        if (text := _plain(row["dialogue"])) not in seen:
            seen.add(text)
            yield _divide(text, validation=0.03), _dialogue(row)


def _dialogue(row: Mapping[str, str]) -> Record:
    return {"text": row["dialogue"], "summary": row["summary"]}


def _blimp() -> Iterator[Placed]:
    """Minimal pairs of all paradigms; there is nothing to learn from."""
    for path in sorted((SHARED_DATA / "blimp_tune").glob("*.jsonl.gz")):
        for line in _lines(f"blimp_tune/{path.name}"):
            row = json.loads(line)
            yield "test", {"good": row["sentence_good"], "bad": row["sentence_bad"]}


def _english() -> Iterator[str]:
    """All the English that the shared data has in whole sentences; of the tasks, the training parts alone."""
    yield from _text("tinystories_tune/stories.txt").split("<|endoftext|>")
    yield from _text("wikitext2_valid/valid.txt").split("\n = ")
    yield from _articles()
    yield from (json.loads(line)["response"] for line in _lines("sft_dolly_tune/dolly_hhrlhf_train_small.jsonl"))
    yield from _pieces(dict.fromkeys(line.split("\t")[0] for line in _lines("tatoeba_enzh_tune/cmn.tsv")))
    yield from _talk()
    for read in (_dialogsum, _multi30k, _sst2, _agnews, _banking77):
        for split, row in read():
            if split == "train":
                yield "\n".join(row[key] for key in ("text", "summary") if key in row)


def _articles() -> Iterator[str]:
    """News, pages and articles of Wikipedia."""
    yield from (line.split(" ", 1)[1] for line in _lines("neardup_tune/articles_1000.train"))
    pages = json.loads(_text("htmlextract_tune/ground-truth.json"))
    yield from (page["articleBody"] for page in pages.values())
    for article in json.loads(_text("xquad_tune/xquad.en.json"))["data"]:
        yield from (paragraph["context"] for paragraph in article["paragraphs"])
    yield from _dump("enwiki-pages-articles1-shortened.xml.bz2")


def _dump(name: str) -> Iterator[str]:
    """The articles of a dump of Wikipedia, by the reader that ``ingest`` has."""
    dump = FilesSource(kind="files", name="dump", paths=("*",), licence="CC BY-SA 3.0")
    items = read_file(SHARED_DATA / "wikidump_tune" / name, name, dump, Limits(16 << 20, 1 << 30))
    yield from (item.text for item in items if not item.reason)


def _talk() -> Iterator[str]:
    """What people write and say: forums, reviews, scripts."""
    with zipfile.ZipFile(SHARED_DATA / "webtext_noise_tune" / "webtext.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".txt"):
                yield from _pieces(archive.read(name).decode("latin-1").splitlines())


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Twenty lines each, so that no text is only a few words or a whole book."""
    waiting = list(lines)
    yield from ("\n".join(waiting[start : start + 20]) for start in range(0, len(waiting), 20))


def _movielens() -> Iterator[Placed]:
    """Choices without a split: the application leaves out the last of each user."""
    for row in _table("movielens_small/ratings.csv"):
        yield "", {"user": row["userId"], "item": row["movieId"], "time": row["timestamp"]}


def _films() -> Iterator[str]:
    """The numbers of each user's films, from which the vocabulary is learned; not in the order of the choices."""
    films: dict[str, list[str]] = {}
    for _, row in _movielens():
        films.setdefault(row["user"], []).append(row["item"])
    yield from ("\n".join(sorted(numbers, key=int)) for numbers in films.values())


def _divide(text: str, *, validation: float, test: float = 0.0) -> str:
    """The part of a text, by its hash."""
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    return "test" if place < test else "validation" if place < test + validation else "train"


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _table(name: str) -> list[Record]:
    with (SHARED_DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _text(name: str) -> str:
    return (SHARED_DATA / name).read_text(encoding="utf-8")


def _lines(name: str) -> Iterator[str]:
    path: Path = SHARED_DATA / name
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="\n") as file:
        yield from (line.rstrip("\n") for line in file)


CORPORA = {"english": _english, "films": _films}
BARS = {
    "sst2": Bar("sentiment", _sst2, "accuracy", 0.814),
    "agnews": Bar("classify", _agnews, "accuracy", 0.887),
    "banking77": Bar("classify", _banking77, "accuracy", 0.893, corpus="english"),
    "dialogsum": Bar("summarise", _dialogsum, "rouge_l", corpus="english"),
    "blimp": Bar("grammar", _blimp, "accuracy", 0.657, corpus="english"),
    "thucnews": Bar("classify", _thucnews, "accuracy", 0.869),
    "multi30k": Bar("translate", _multi30k, "bleu", 0.3),
    "movielens": Bar("recommend", _movielens, "ndcg_10", corpus="films"),
}
