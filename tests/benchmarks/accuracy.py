"""How often the data engine is right, on labelled real data: ``python -m tests.benchmarks.accuracy``.

In: the shared data sets. Out: tables on standard output: languages, personal data, main text of HTML, wrong encodings,
near-copies. In between: what the tests assert is counted by the same functions; peers are those of the dependency
group ``peers``, left out where they are not installed.

Near-copies besides by similarity: articles with words replaced, so that the true Jaccard index of their shingles is
known, and beside the share that was found the one that the bands alone would find, 1 - (1 - s^rows)^bands.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from components.core.personal import find
from components.core.personal_kinds import Kind
from components.preprocess.language import identify
from components.preprocess.mojibake import repair
from components.preprocess.signatures import band_keys, read_words, sign
from tests.benchmarks.ingest import PAGES, print_f1
from tests.worlds import SHARED_DATA

_PREFIX_BYTES, _BANDS, _ROWS, _SHINGLE_WORDS, _MIN_SIMILARITY = 512, 14, 8, 5, 0.7
_REPLACED = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12)
# What is labelled in the data, and the kind that it is here.
LABELS: dict[str, Kind] = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IP_ADDRESS": "ip", "CREDIT_CARD": "card",
    "IBAN_CODE": "iban", "US_DRIVER_LICENSE": "national_id",
}  # fmt: skip


def main() -> None:
    """Print every table."""
    right, number = score_languages()
    print(f"language: {right / number:.4f} of {number:,} sentences in 75 languages")
    for kind, recall, precision, number in score_personal():
        print(f"personal data, {kind:12} recall {recall:.3f}   precision {precision:.3f}   of {number}")
    print_f1({path.name.partition(".")[0]: gzip.decompress(path.read_bytes()) for path in (PAGES / "html").iterdir()})
    for name, right, number in score_mojibake():
        print(f"wrong encoding, {name:15} {right} of {number} exactly right")
    print_copies()


def score_languages(step: int = 1) -> tuple[int, int]:
    """How many of every ``step``-th labelled sentence were named rightly, and how many there were."""
    lines = (SHARED_DATA / "langid_tune" / "sentences.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")[::step]
    names, texts = zip(*(line.split("\t", 1) for line in lines), strict=True)
    found = identify(pa.array(texts, pa.large_string()), _PREFIX_BYTES)
    return sum(name == code for name, code in zip(names, found, strict=True)), len(lines)


def score_personal() -> Iterator[tuple[Kind, float, float, int]]:
    """Of each labelled kind its recall, its precision and how many were labelled."""
    hits, missed, wrong = Counter[Kind](), Counter[Kind](), Counter[Kind]()
    for row in json.loads((SHARED_DATA / "pii_tune" / "synth_dataset_v2.json").read_text()):
        found = set(find(row["full_text"].encode()))
        for span in row["spans"]:
            if kind := LABELS.get(span["entity_type"]):
                begin, end = (len(row["full_text"][: span[f"{side}_position"]].encode()) for side in ("start", "end"))
                over = {one for one in found if one.kind == kind and one.begin <= begin and end <= one.end}
                found -= over
                (hits if over else missed)[kind] += 1
        wrong.update(span.kind for span in found)
    for kind in LABELS.values():
        number = hits[kind] + missed[kind]
        yield kind, hits[kind] / number, hits[kind] / (hits[kind] + wrong[kind]), number


def score_mojibake() -> Iterator[tuple[str, int, int]]:
    """Of each file of labelled cases, how many came out exactly and how many there are."""
    for name in ("language-names", "negative", "synthetic"):
        cases = json.loads((SHARED_DATA / "mojibake_tune" / f"{name}.json").read_text())
        repaired = repair(pa.array([case["original"] for case in cases], pa.large_string())).texts.to_pylist()
        wanted = [case.get("fixed-encoding", case["fixed"]) for case in cases]
        yield name, sum(a == b for a, b in zip(repaired, wanted, strict=True)), len(cases)


def print_copies() -> None:
    """The labelled pairs, and the share of altered articles that were found, by true similarity."""
    lines = (SHARED_DATA / "neardup_tune" / "articles_1000.train").read_text().splitlines()
    names, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
    truth = {frozenset(line.split()) for line in (SHARED_DATA / "neardup_tune" / "articles_1000.truth").open()}
    found = {frozenset((names[i], names[j])) for i, j in pairs(texts)}
    told = f"{len(found & truth)} of {len(truth)} pairs, {len(found - truth)} others"
    print(f"near-copies among {len(texts):,} articles: {told}")
    similar, is_found = altered(texts)
    for low in np.arange(0.4, 1.0, 0.05):
        inside = (similar >= low) & (similar < low + 0.05)
        expected = np.mean(1 - (1 - similar[inside] ** _ROWS) ** _BANDS)
        print(f"near-copies of similarity {low:.2f} to {low + 0.05:.2f}: {is_found[inside].mean():.3f} found "
              f"(bands alone {expected:.3f}) of {inside.sum()}")  # fmt: skip


def pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The pairs that share the key of a band and whose signatures are alike enough."""
    signatures, keys = _signed(texts)
    for band in keys:
        order = np.argsort(band, kind="stable")
        for i, j in pairwise(order):
            if band[i] == band[j] and (signatures[i] == signatures[j]).mean() >= _MIN_SIMILARITY:
                yield int(i), int(j)


def altered(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of each article with words replaced: its true similarity to itself before, and whether it was found."""
    draw, before, after = np.random.default_rng(1), list[str](), list[str]()
    for text in texts:
        words = np.array(text.split(), object)
        for share in _REPLACED:
            changed = words.copy()
            places = np.flatnonzero(draw.random(len(words)) < share)
            changed[places] = [f"x{number}" for number in draw.integers(1 << 30, size=len(places))]
            before.append(text)
            after.append(" ".join(changed))
    (signatures, keys), (others, other_keys) = _signed(before), _signed(after)
    is_found = (keys == other_keys).any(axis=0) & ((signatures == others).mean(axis=1) >= _MIN_SIMILARITY)
    similar = np.array([_jaccard(*pair) for pair in zip(_shingles(before), _shingles(after), strict=True)])
    return similar, is_found


def _signed(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    signatures = sign(read_words(_column(texts)), _BANDS * _ROWS, _SHINGLE_WORDS)
    return signatures, band_keys(signatures, _BANDS, _ROWS)


def _shingles(texts: Sequence[str]) -> Iterator[set[bytes]]:
    words, ends = read_words(_column(texts))
    for begin, end in zip((0, *ends), ends, strict=False):
        yield {words[i : i + _SHINGLE_WORDS].tobytes() for i in range(begin, end - _SHINGLE_WORDS + 1)}


def _column(texts: Sequence[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _jaccard(one: set[bytes], other: set[bytes]) -> float:
    return len(one & other) / max(1, len(one | other))


if __name__ == "__main__":
    main()
