"""Near-copies, contamination, caps and mixtures; and that neither order nor workers change what is kept."""

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.crew import Crew
from components.core.documents import Document, document_id, read_row_groups
from components.core.errors import InputError, ParamsError
from components.core.files import list_files, sha256_file
from components.core.params import parse
from components.preprocess import PreprocessConfig, preprocess
from components.preprocess.shares import NUM_PLACES, limits
from components.preprocess.signatures import collect_grams, count_hits, make_table, read_words, sign
from tests.components.preprocess.world import CONFIG, document, write_checks, write_documents
from tests.worlds import SHARED_DATA

WORDS = [f"{first}{second}" for first in "abcdefghij" for second in ("ra", "lo", "mi", "tu", "ne", "sko", "pli", "gar")]


def prose(generator: random.Random, num_words: int) -> str:
    return " ".join(generator.choices(WORDS, k=num_words))


def run(output: Path, rows: list[Document], crew: Crew | None = None, shard: int = 25, **values: Any) -> Path:
    output.mkdir()
    documents = write_documents(output.with_name(output.name + "-documents"), rows, shard_documents=shard)
    checks = write_checks(output.with_name(output.name + "-checks"))
    config = parse({**CONFIG, "max_characters": 10**6, **values}, PreprocessConfig, "test")
    report = preprocess(config, documents=documents, checks=checks, output=output, crew=crew)
    assert report.books is not None
    report.books.check("preprocess")
    return output


def kept(output: Path) -> dict[str, dict[str, Any]]:
    return {row["doc_id"]: row for table in read_row_groups(output) for row in table.to_pylist()}


def rejects(output: Path) -> dict[str, tuple[str, str]]:
    rows = pq.read_table(output / "rejects.parquet").to_pylist()
    return {row["doc_id"]: (row["reason"], row["detail"]) for row in rows}


def family(generator: random.Random, name: str, num_words: int, share: float, size: int) -> list[Document]:
    """A text and copies of it in which ``share`` of the words are others."""
    text = prose(generator, num_words).split()
    copies = [" ".join(w if generator.random() > share else generator.choice(WORDS) for w in text) for _ in range(size)]
    return [document(f"{name} {number}", copy) for number, copy in enumerate([" ".join(text), *copies[1:]])]


def jaccard(one: str, other: str, size: int = 5) -> float:
    """The plain reference: the index of the sets of word grams."""
    grams = [set(zip(*(re.findall(r"\w+", t.lower())[i:] for i in range(size)), strict=False)) for t in (one, other)]
    return len(grams[0] & grams[1]) / max(1, len(grams[0] | grams[1]))


@pytest.fixture(scope="module")
def world() -> list[Document]:
    generator = random.Random(3)
    rows = [document(f"alone {n}", prose(generator, generator.randrange(20, 120))) for n in range(150)]
    rows += [row for n in range(20) for row in family(generator, f"family {n}", 200, 0.002, 4)]
    rows += [document(f"exact {n}", rows[n].text) for n in range(12)]
    rows += [document(f"signs {n}", "!? " * (4 + n % 3)) for n in range(6)]
    generator.shuffle(rows)
    return rows


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="") as cluster:
        yield cluster.scheduler_address


def test_an_estimate_is_near_the_index_of_the_sets() -> None:
    generator = random.Random(1)
    pairs = [[row.text for row in family(generator, "f", 300, share, 2)] for share in (0, 0.01, 0.03, 0.1, 1)]
    for one, other in pairs:
        signatures = sign(read_words(pa.chunked_array([pa.array([one, other], pa.large_string())])), 512, 5)
        assert abs((signatures[0] == signatures[1]).mean() - jaccard(one, other)) < 0.08


def test_the_smallest_identity_of_every_family_is_kept_and_the_detail_names_it(
    world: list[Document], tmp_path: Path
) -> None:
    output = run(tmp_path / "o", world)
    names = {row.doc_id: row.uri for row in world}
    alike: dict[str, set[str]] = {}
    for row in world:
        is_family = row.uri.startswith("notes/family")
        key = row.uri.rsplit(" ", 1)[0] if is_family else row.text
        alike.setdefault(key, set()).add(row.doc_id)
    assert set(kept(output)) == {min(members) for members in alike.values()}
    for members in alike.values():
        for doc_id in members - {min(members)}:
            reason, detail = rejects(output)[doc_id]
            assert reason == "duplicate" or (reason, names[doc_id][:12]) == ("near_duplicate", "notes/family")
            assert min(members) in detail


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_and_the_shards_of_the_input_change_nothing(
    order: int, world: list[Document], tmp_path: Path
) -> None:
    first = run(tmp_path / "a", world)
    rows = world.copy()
    random.Random(order).shuffle(rows)
    second = run(tmp_path / "b", rows, shard=7 + order)
    assert kept(first) == kept(second)
    assert rejects(first) == rejects(second)


def test_one_two_and_four_workers_and_dask_leave_the_same_bytes(
    world: list[Document], tmp_path: Path, scheduler: str
) -> None:
    values = {"max_source_bytes": {"notes": 20_000}, "shard_documents": 12, "max_held_out_share": 0.5}
    crews = {"one": Crew(), "two": Crew(2), "four": Crew(4), "dask": Crew(scheduler=scheduler)}
    digests = []
    for name, crew in crews.items():
        output = run(tmp_path / name, world, crew, **values)
        digests.append({file: sha256_file(output / file) for file in list_files(output)})
    assert len(digests[0]) > 3
    assert all(found == digests[0] for found in digests[1:])


def test_chains_of_likeness_are_one_family_and_low_similarity_is_none(tmp_path: Path) -> None:
    generator = random.Random(5)
    words = prose(generator, 260).split()
    chain = [document(f"link {n}", " ".join(words[4 * n : 4 * n + 200])) for n in range(12)]
    unlike = family(generator, "unlike", 300, 0.3, 5)
    output = run(tmp_path / "o", [*chain, *unlike], near_duplicate_bands=32, near_duplicate_rows=4)
    assert set(kept(output)) == {min(row.doc_id for row in chain), *(row.doc_id for row in unlike)}


def test_without_bands_only_equal_texts_are_copies(world: list[Document], tmp_path: Path) -> None:
    output = run(tmp_path / "o", world, near_duplicate_bands=0, max_held_out_share=1)
    assert {reason for reason, _ in rejects(output).values()} == {"duplicate"}


def test_a_text_of_a_pinned_evaluation_set_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(7)
    monkeypatch.chdir(tmp_path)
    questions = [prose(generator, 20) for _ in range(30)]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps({"id": 1, "asked": {"q": [q]}}) + "\n" for q in questions))
    rows = [document(str(n), prose(generator, 150)) for n in range(60)]
    dirty = [document(f"dirty {n}", f"{prose(generator, 60)} {q.upper()}! {prose(generator, 9)}")
             for n, q in enumerate(questions)]  # fmt: skip
    pins = [{"path": "set.jsonl", "sha256": sha256_file(tmp_path / "set.jsonl")}]
    output = run(tmp_path / "o", [*rows, *dirty], Crew(2), shard=10, evaluation_sets=pins)
    assert set(kept(output)) == {row.doc_id for row in rows}
    assert {reason for reason, _ in rejects(output).values()} == {"contaminated"}
    (tmp_path / "set.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"set\.jsonl"):
        run(tmp_path / "p", rows, evaluation_sets=pins)


def test_training_texts_that_repeat_held_out_ones_are_dropped(tmp_path: Path) -> None:
    generator = random.Random(9)
    parts = [prose(generator, 100) for _ in range(80)]
    rows = [document(str(n), part) for n, part in enumerate(parts)]
    loose = run(tmp_path / "a", rows)
    held_out = [row["text"] for row in kept(loose).values() if row["split"] != "train"]
    both = [document(f"both {n}", f"{one} {other}") for n, (one, other) in enumerate(itertools.pairwise(held_out))]
    output = run(tmp_path / "b", [*rows, *both])
    splits = {doc_id: row["split"] for doc_id, row in kept(output).items()}
    dropped = {doc_id for doc_id, (reason, _) in rejects(output).items() if reason == "held_out_overlap"}
    assert dropped
    assert not any(splits.get(row.doc_id) == "train" for row in both)
    assert dropped | splits.keys() == {row.doc_id for row in [*rows, *both]}
    assert set(kept(run(tmp_path / "c", [*rows, *both], max_held_out_share=1))) == splits.keys() | dropped


def test_a_part_of_the_held_out_grams_stands_for_all() -> None:
    generator = random.Random(11)
    texts = [prose(generator, 400) for _ in range(20)]
    words = read_words(pa.chunked_array([pa.array(texts, pa.large_string())]))
    mask = np.uint64(3)
    table = make_table(collect_grams(read_words(pa.chunked_array([pa.array(texts[:10], pa.large_string())])), 13, mask))
    hits, seen = count_hits(words, 13, table, mask)
    assert (hits[:10] == seen[:10]).all()
    assert not hits[10:].any()
    assert 0.2 < seen.sum() / (20 * 388) < 0.3


def test_a_cap_is_kept_by_the_same_documents_whatever_else_is_there(tmp_path: Path) -> None:
    generator = random.Random(13)
    rows = [document(str(n), prose(generator, 40)) for n in range(200)]
    small, large = (run(tmp_path / str(cap), rows, max_source_bytes={"notes": cap}) for cap in (10_000, 20_000))
    sizes = [sum(len(row["text"]) for row in kept(output).values()) for output in (small, large)]
    assert 9_000 < sizes[0] <= 10_000 < 19_000 < sizes[1] <= 20_000
    assert kept(small).keys() < kept(large).keys()
    assert {reason for reason, _ in rejects(small).values()} == {"source_limit"}


def test_a_mixture_has_its_proportions_and_names_every_source(tmp_path: Path) -> None:
    generator = random.Random(17)
    counts = {"a": 300, "b": 100, "c": 100}
    rows = [Document(document_id(s, str(n)), prose(generator, 40), s, f"{s}/{n}", "CC0-1.0", None, "{}")
            for s, num in counts.items() for n in range(num)]  # fmt: skip
    output = run(tmp_path / "o", rows, mixture={"a": 1.0, "b": 1.0, "c": 0.0}, max_source_bytes={"b": 10_000})
    sizes = Counter[str]()
    for row in kept(output).values():
        sizes[row["source"]] += len(row["text"])
    assert sizes.keys() == {"a", "b"}
    assert all(9_000 < size <= 10_000 for size in sizes.values())
    with pytest.raises(ParamsError, match="the source c has no weight"):
        run(tmp_path / "p", rows, mixture={"a": 1.0, "b": 1.0})


def test_limits_agree_with_a_plain_sum() -> None:
    draw = np.random.default_rng(1)
    places = {name: draw.integers(0, 3, NUM_PLACES) * draw.integers(1, 9, NUM_PLACES) for name in "ab"}
    for cap in (0, 1, 1000, 10**9):
        end = limits(places, {"a": cap}, {})["a"]
        assert places["a"][:end].sum() <= cap
        assert end == NUM_PLACES or places["a"][: end + 1].sum() > cap
    assert limits(places, {}, {}) == {"a": NUM_PLACES, "b": NUM_PLACES}


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data is not here")
def test_all_pairs_of_real_articles_are_found_and_no_others(tmp_path: Path) -> None:
    folder = SHARED_DATA / "neardup_tune"
    lines = (folder / "articles_1000.train").read_text().splitlines()
    rows = [document(*line.split(" ", 1)) for line in lines]
    names = {row.doc_id: row.uri.removeprefix("notes/") for row in rows}
    truth = {frozenset(line.split()) for line in (folder / "articles_1000.truth").read_text().splitlines()}
    output = run(tmp_path / "o", rows, shard=100)
    found = {frozenset((names[doc_id], names[re.findall("[0-9a-f]{32}", detail)[0]]))
             for doc_id, (_, detail) in rejects(output).items()}  # fmt: skip
    assert found == truth
