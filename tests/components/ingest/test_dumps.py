"""MediaWiki dumps: real ones of four languages, and every way in which one can be wrong."""

import bz2
from pathlib import Path

import pytest

from components.ingest import FilesSource, bzip2
from components.ingest.items import Item, examine
from components.ingest.limits import Limits
from components.ingest.readers import read_file
from tests.worlds import SHARED_DATA

DUMPS = SHARED_DATA / "wikidump_tune"
LIMITS = Limits(16 << 20, 1 << 30)
HEAD = '<mediawiki xml:lang="en"><siteinfo><namespaces><namespace key="6">Eikon</namespace></namespaces></siteinfo>\n'
needs_dumps = pytest.mark.skipif(not DUMPS.is_dir(), reason="the shared data sets are not here (set PEDIGREE_SHARED)")


def page(number: int, text: str, title: str = "T", extra: str = "", namespace: int = 0) -> str:
    return (f"<page><title>{title}</title><ns>{namespace}</ns><id>{number}</id>{extra}<revision><id>7</id>"
            f"<text>{text}</text></revision></page>\n")  # fmt: skip


def read(path: Path, limits: Limits = LIMITS, **values: object) -> list[Item]:
    source = FilesSource(kind="files", name="s", paths=("*",), licence="CC-BY-SA-4.0", **values)  # type: ignore[arg-type]
    return [examine(item, limits.max_document_bytes) for item in read_file(path, path.name, source, limits)]


def read_text(folder: Path, text: str, limits: Limits = LIMITS, **values: object) -> list[Item]:
    (folder / "d.xml").write_text(text, encoding="utf-8")
    return read(folder / "d.xml", limits, **values)


@needs_dumps
def test_the_english_dump_is_read_completely() -> None:
    items = read(DUMPS / "enwiki-pages-articles1-shortened.xml.bz2")
    articles = [item for item in items if not item.reason]
    assert len(items) == 206
    assert sum(item.reason == "redirect" for item in items) == 100
    assert [item.meta["title"] for item in articles[:2]] == ["Anarchism", "Autism"]
    assert articles[0].position == "enwiki-pages-articles1-shortened.xml.bz2#12"
    assert articles[0].text.startswith("Anarchism is a political philosophy that advocates self-governed societies")
    text = "\n".join(item.text for item in articles)
    assert len(text) > 2_500_000
    for mark in ("{{", "[[", "]]", "<ref", "'''", "&nbsp;", "__NOTOC__", "\nCategory:"):
        assert text.count(mark) == 0, mark


@needs_dumps
def test_a_dump_in_utf_16_is_read_and_a_header_that_names_the_wrong_wiki_is_not_believed() -> None:
    (bulgarian,) = [item for item in read(DUMPS / "bgwiki-pages-articles-shortened.xml.bz2") if not item.reason]
    assert "папа" in bulgarian.text
    french = read(DUMPS / "frwiki-mini.xml.bz2")
    (chinese,) = read(DUMPS / "zhwiki-mini.xml.bz2")
    assert [item.meta["title"] for item in french] == ["Antoine Meillet", "Autriche", "Berlin"]
    assert chinese.text.startswith("柏林（）是德意志聯邦共和國首都") or chinese.text.startswith(
        "柏林是德意志聯邦共和國首都"
    )
    for word in ("Fichier:", "Catégorie:", "分类:", "Category:", "[[", "{{", "-{"):
        assert not any(word in item.text for item in [*french, chinese])


@needs_dumps
def test_the_number_of_streams_and_threads_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = bz2.decompress((DUMPS / "enwiki-pages-articles1-shortened.xml.bz2").read_bytes())
    whole = read(DUMPS / "enwiki-pages-articles1-shortened.xml.bz2")
    path = tmp_path / "enwiki-pages-articles1-shortened.xml.bz2"
    path.write_bytes(b"".join(bz2.compress(plain[at : at + 300_000]) for at in range(0, len(plain), 300_000)))
    for processors in ({0}, {0, 1, 2, 3}):
        monkeypatch.setattr(bzip2.os, "sched_getaffinity", lambda _, found=processors: found)
        assert read(path) == whole
    path.write_bytes(bz2.compress(plain, 1))
    assert read(path) == whole


def test_redirects_namespaces_and_pages_without_prose_are_told_apart(tmp_path: Path) -> None:
    pages = [
        page(1, "An article with [[Eikon:a.png|words]]."), page(2, "#REDIRECT [[A]]"),
        page(3, "x", extra='<redirect title="A"/>'), page(4, "talk", namespace=1), page(5, "{{disambig}}"),
        page(6, "").replace("<text></text>", "<text/>"),
        page(7, "x = 1").replace("<text>", "<model>Scribunto</model><text>"),
    ]  # fmt: skip
    items = read_text(tmp_path, HEAD + "".join(pages) + "</mediawiki>\n")
    assert [item.reason for item in items] == [
        "", "redirect", "redirect", "other_namespace", "no_prose", "no_prose", "not_text",
    ]  # fmt: skip
    assert items[0].text == "An article with ."
    both = read_text(tmp_path, HEAD + "".join(pages) + "</mediawiki>", namespaces=(0, 1))
    assert both[3].text == "talk"


def test_a_faulty_page_is_one_reject_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    faulty = [
        page(2, "&undefined;"), page(3, "<b>not closed"), page(4, "\x01"), page(1, "again"), page(-5, "x"),
        page(6, "x" * 500_000), "stray words\n", page(7, "a" + "<n>" * 20_000 + "</n>" * 20_000),
    ]  # fmt: skip
    text = HEAD + page(1, "first") + "".join(faulty) + page(9, "last") + "</mediawiki>"
    items = read_text(tmp_path, text, Limits(50_000, 1 << 30))
    assert [item.reason for item in items] == [
        "", "unreadable", "unreadable", "unreadable", "duplicate_id", "duplicate_id", "too_large", "unreadable", "", "",
    ]  # fmt: skip
    assert [items[0].text, items[-1].text] == ["first", "last"]
    assert len({item.position for item in items}) == len(items)


def test_bytes_that_are_no_utf_8_spoil_their_page_only(tmp_path: Path) -> None:
    data = (HEAD + page(1, "one") + page(2, "caf?") + page(3, "three") + "</mediawiki>").encode().replace(b"?", b"\xe9")
    (tmp_path / "d.xml").write_bytes(data)
    assert [item.reason for item in read(tmp_path / "d.xml")] == ["", "unreadable", ""]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("<!DOCTYPE mediawiki [<!ENTITY l0 'ha'>" + LAUGHS + "]>" + HEAD + page(1, "&l9;"), "a document type"),
        ('<!DOCTYPE mediawiki SYSTEM "file:///etc/passwd">' + HEAD + page(1, "x"), "a document type"),
        ("<rss>" + page(1, "x") + "</rss>", "the first element is <rss>"),
        ("no xml at all", "its header is no XML"),
        (HEAD + page(1, "x") + "<page><title>cut off", "the dump ends inside a page"),
        (HEAD + page(1, "x"), "the dump ends without </mediawiki>"),
    ],
)
def test_what_is_no_whole_dump_says_why(tmp_path: Path, text: str, detail: str) -> None:
    last = read_text(tmp_path, text)[-1]
    assert last.reason == "unreadable"
    assert detail in last.detail


def test_an_empty_dump_is_told(tmp_path: Path) -> None:
    for text in ("", HEAD + "</mediawiki>"):
        assert [item.reason for item in read_text(tmp_path, text)] == ["empty"]
