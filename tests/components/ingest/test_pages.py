"""Web pages and crawls: real ones against their known text, and every way in which one can be wrong."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from components.ingest import FilesSource
from components.ingest.items import Item, examine
from components.ingest.limits import Limits
from components.ingest.readers import read_file
from tests.worlds import SHARED_DATA

LIMITS = Limits(1 << 20, 1 << 28)
needs_data = pytest.mark.skipif(
    not SHARED_DATA.is_dir(), reason="the shared data sets are not here (set PEDIGREE_SHARED)"
)


def read(path: Path, limits: Limits = LIMITS) -> list[Item]:
    source = FilesSource(kind="files", name="s", paths=("*",), licence="CC0-1.0")
    return [examine(item, limits.max_document_bytes) for item in read_file(path, path.name, source, limits)]


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))


@needs_data
def test_a_crawl_gives_its_pages_and_leaves_the_rest() -> None:
    items = read(SHARED_DATA / "warc_tune" / "dolma-sample-0000.warc.gz")
    assert [item.reason for item in items] == [""] * 22 + ["not_text"] * 2
    assert items[2].meta["url"] == "https://soldaini.net/"
    assert "My name is Luca Soldaini" in items[2].text


@needs_data
def test_the_text_of_a_page_lies_within_the_text_that_common_crawl_took_from_it() -> None:
    folder = SHARED_DATA / "warc_tune"
    (page,), (text,) = read(folder / "whirlwind.warc.gz"), read(folder / "whirlwind.warc.wet.gz")
    assert text.text.startswith("Escopete - Biquipedia, a enciclopedia libre")
    common = (words(page.text) & words(text.text)).total()
    assert common > 0.97 * words(page.text).total()
    assert [item.text for item in read(folder / "whirlwind.warc")] == [page.text]
    assert [item.text for item in read(folder / "whirlwind.warc.wet")] == [text.text]


def shingles(text: str) -> Counter[tuple[str, ...]]:
    tokens = re.findall(r"\w+", text)
    return Counter(tuple(tokens[at : at + 4]) for at in range(max(1, len(tokens) - 3)))


@needs_data
def test_main_text_is_found_as_well_as_the_best_kept_library_finds_it() -> None:
    folder = SHARED_DATA / "htmlextract_tune"
    truth = json.loads((folder / "ground-truth.json").read_text())
    hits = extra = missed = 0.0
    for name, entry in truth.items():
        found = shingles(read(folder / "html" / f"{name}.html.gz", Limits(16 << 20, 1 << 28))[0].text)
        wanted = shingles(entry["articleBody"])
        common = (found & wanted).total()
        union = found.total() + wanted.total() - common
        hits, extra = hits + common / union, extra + (found.total() - common) / union
        missed += (wanted.total() - common) / union
    assert 2 * hits / (2 * hits + extra + missed) > F1_FLOOR


F1_FLOOR = 0.95


CHUNKED = "Transfer-Encoding: chunked\r\n"


def record(
    kind: str, content: bytes, type_: str = "application/http; msgtype=response", length: int | None = None
) -> bytes:
    head = (f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://x/\r\nContent-Type: {type_}\r\n"
            f"Content-Length: {len(content) if length is None else length}\r\n\r\n")  # fmt: skip
    return head.encode() + content + b"\r\n\r\n"


def answer(body: bytes, status: int = 200, type_: str = "text/html", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: {type_}\r\n{extra}\r\n".encode() + body


PAGE = b"<html><body><p>" + b"A page with a paragraph of real words. " * 5 + b"</p></body></html>"


def test_each_record_is_judged_on_its_own(tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    records = [
        record("warcinfo", b"x"), record("request", b"GET / HTTP/1.1\r\n\r\n"),
        record("response", answer(PAGE)), record("response", answer(PAGE, status=404)),
        record("response", answer(b"\x89PNG", type_="image/png")), record("response", answer(b"", type_="text/html")),
        record("response", answer(gzip.compress(PAGE), extra="Content-Encoding: gzip\r\n")),
        record("response", answer(gzip.compress(PAGE)[:-9], extra="Content-Encoding: gzip\r\n")),
        record("response", answer(b"5\r\n<p>Ch\r\n8;x=y\r\nunks</p>\r\n0\r\n\r\n", extra=CHUNKED)),
        record("response", answer(b"zz\r\nabc", extra=CHUNKED)),
        record("response", answer(bomb, extra="Content-Encoding: gzip\r\n")),
        record("response", answer("<p>Größe und Gewicht</p>".encode("latin-1"), type_="text/html; charset=latin-1")),
        record("response", answer(b"x" * 6_000_000)), record("conversion", b"plain words"),
        record("conversion", b"\xff"), record("resource", PAGE, "text/html"),
    ]  # fmt: skip
    (tmp_path / "a.warc").write_bytes(b"".join(records))
    items = read(tmp_path / "a.warc")
    assert [item.reason for item in items] == [
        "", "not_text", "not_text", "no_prose", "", "unreadable", "", "unreadable", "too_large", "",
        "too_large", "",
        "wrong_encoding", "",
    ]  # fmt: skip
    assert items[0].text == items[4].text == items[-1].text
    assert "Größe und Gewicht" in items[9].text


@pytest.mark.parametrize(
    "data",
    [
        record("response", answer(PAGE))[:-80],
        record("response", answer(PAGE), length=5000) + record("conversion", b"swallowed"),
        b"no WARC at all " * 50,
        record("conversion", b"one") + b"\0" * 5000,
        record("conversion", b"x", length=-5),
        record("response", answer(PAGE))[:30],
    ],
)
def test_a_crawl_that_is_cut_or_lies_about_lengths_is_told(tmp_path: Path, data: bytes) -> None:
    for name, content in {"a.warc": data, "a.warc.gz": gzip.compress(data)}.items():
        (tmp_path / name).write_bytes(content)
        items = read(tmp_path / name)
        assert items[-1].reason in ("unreadable", "empty")
        assert not any("swallowed" in item.text for item in items)


@pytest.mark.parametrize(
    "data", [b"<div>" * 200_000, b"<table>" * 100_000, b"<" * 500_000, b"<p " + b"a=b " * 200_000, b"\0" * 1000]
)
def test_markup_that_was_made_to_hurt_is_survived(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.html").write_bytes(data)
    (item,) = read(tmp_path / "a.html", Limits(16 << 20, 1 << 28))
    assert item.reason in ("", "no_prose", "unreadable")
