"""Wikitext to prose: what a reader of the page would read, without its furniture.

In: the source of a page as MediaWiki keeps it. Out: plain paragraphs, headings and list items, one a line. In
between: templates, tables, references, files, categories and tags go; links leave their label. Every step is linear
in the length of the text, whatever its author nested or left open: the only nesting that matters is matched by one
stack, and an opener that nothing closes is text.

Not covered: what a template would have expanded to, except for the few whose argument is the sentence itself.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

# The words for File, Image and Category before a colon, in the languages that write most: a dump's header may name
# the wrong wiki, and English words are valid in every one.
_WORDS = (
    "file image media category datei bild kategorie fichier catégorie categoria categoría archivo imagen ficheiro "
    "imagem immagine файл изображение категория картинка категорія зображення файлъ bestand afbeelding categorie "
    "plik grafika fil kategori tiedosto kuva luokka soubor kategória súbor fájl kép fișier imagine dosya resim "
    "датотека слика категорија datoteka slika kategorija αρχείο εικόνα κατηγορία קובץ תמונה קטגוריה ملف صورة "
    "تصنيف پرونده تصویر رده चित्र श्रेणी ছবি বিষয়শ্রেণী 文件 檔案 档案 圖像 图像 分类 分類 "
    "ファイル 画像 カテゴリ 파일 그림 분류 berkas gambar "
    "fitxer imatge dosiero "
)
FURNITURE = frozenset(_WORDS.split()) | {"tập tin", "thể loại"}
_OPAQUE = ("ref", "math", "gallery", "timeline", "syntaxhighlight", "source", "score", "chem", "ce", "imagemap",
           "templatedata", "graph", "mapframe", "hiero", "pre", "inputbox", "categorytree", "nowiki")  # fmt: skip
_TAG = re.compile(rf"<!--|-->|<(/?)({'|'.join(_OPAQUE)})(?![a-z])[^<>]*>", re.IGNORECASE)
_SENTENCE = re.compile(r"\{\{\s*(?:lang|nowrap|nobr|transl|transliteration|small|abbr)\s*\|(?:[a-z-]{2,12}\|)?"
                       r"([^{}|=]*)(?:\|[^{}]*)?\}\}", re.IGNORECASE)  # fmt: skip
_QUANTITY = re.compile(r"\{\{\s*(?:convert|cvt)\s*\|([^{}|]*)\|([^{}|]*)[^{}]*\}\}", re.IGNORECASE)
_BRACE = re.compile(r"\{{2,}|\}{2,}|\{\||\|\}(?!\})|<table[^<>]*>|</table[^<>]*>")
_INDENT_CHARACTERS = 20
_VARIANT = re.compile(r"-\{([^{}]*)\}-")
_EXTERNAL = re.compile(r"\[(?:https?:|ftp:|mailto:|//)[^\s\[\]]*[^\S\n]*([^\[\]\n]*)\]")
_PLAIN_LINK = re.compile(r"\[\[(?:[^\[\]\n|:]*\|)?([^\[\]|:]+)\]\]")
_LINK = re.compile(r"\[\[([^\[\]|\n]*+)(?:\|((?:[^\[\]]++|\[[^\[\]]*+\])*+))?\]\]")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z]+)*")
_LINK_DEPTH = 4
_BREAK = re.compile(r"<[bh]r(?![a-z])[^<>]*>", re.IGNORECASE)
_ELEMENT = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*(?:[\s/][^<>]*)?>")
_SWITCH = re.compile(r"__[A-Z]{3,}__")
_HOLLOW = re.compile(r"[(（][\s,;:/，；、]*[)）]")
_LINE = re.compile(r"[ \t]*(={2,6})[ \t]*(.+?)[ \t]*\1[ \t]*|([*#:;]+)[ \t]*(.*)")
_first_group = itemgetter(1)  # of a match; before Python 3.12 several times as fast as r"\1"
# Characters that mean markup, and what stands for them while the text of <nowiki> passes the other steps.
_MARKUP = str.maketrans({mark: chr(0xF700 + number) for number, mark in enumerate("{}[]|<>'=*#:;_")})
_LITERAL = {place: chr(mark) for mark, place in ((m, ord(str(p))) for m, p in _MARKUP.items())}


def extract_prose(wikitext: str, furniture: frozenset[str] = FURNITURE) -> str:
    """The prose of a page. ``furniture`` holds, in lower case, the prefixes of links that show no text."""
    text = _drop_opaque(wikitext)
    if "-{" in text:
        text = _VARIANT.sub(_first_variant, text)
    if "{" in text or "<table" in text:
        text = _drop_nested(_QUANTITY.sub(r"\1 \2", _SENTENCE.sub(_first_group, text)))
    text = _drop_elements(_unlink(text, furniture))
    text = _HOLLOW.sub("", html.unescape(text) if "&" in text else text)
    text = "\n".join(_lines(text)).strip("\n")
    return text.translate(_LITERAL) if "nowiki" in wikitext else text


def _drop_opaque(text: str) -> str:
    """Without comments and without the elements whose content is no wikitext; that of <nowiki> is kept as it is."""
    if "<" not in text:
        return text
    kept, position, opened = [], 0, ""
    tags = [(m.start(), m.end(), (m[2] or "!").lower(), bool(m[1]) or m[0] == "-->") for m in _TAG.finditer(text)]
    # Where the last closing tag of each element stands: an opener behind it is closed by nothing.
    closers = {name: start for start, _, name, is_closer in tags if is_closer}
    for start, end, name, is_closer in tags:
        if opened and is_closer and name == opened:
            if opened == "nowiki":
                kept.append(text[position:start].translate(_MARKUP))
            position, opened = end, ""
        elif not opened and not is_closer:
            kept.append(text[position:start])
            is_alone = text[end - 2] == "/" or start > closers.get(name, -1)
            position, opened = end, "" if is_alone else name
    kept.append(text[position:])
    return "".join(kept)


def _first_variant(match: re.Match[str]) -> str:
    """The first of several spellings, as in ``-{zh-hans:联邦州; zh-hant:邦}-``; flags such as ``H|`` show nothing."""
    flags, bar, text = match[1].rpartition("|")
    first = text.partition(";")[0]
    return "" if bar and flags.strip() in ("H", "T", "A", "-") else first.rpartition(":")[2].strip()


@dataclass
class _Opener:
    start: int
    is_table: bool
    braces: int


def _drop_nested(text: str) -> str:
    """Without templates and tables."""
    kept, position = [], 0
    for start, end in _nested_regions(text):
        kept.append(text[position:start])
        position = end
    kept.append(text[position:])
    return "".join(kept)


def _nested_regions(text: str) -> list[tuple[int, int]]:
    """The outermost templates and tables that are closed, as (start, end) in their order."""
    regions: list[tuple[int, int]] = []
    stack: list[_Opener] = []
    depth = {True: 0, False: 0}
    for match in _BRACE.finditer(text):
        mark, start = match[0], match.start()
        is_table = mark[0] in "|<" or mark[1] == "|"
        if (
            mark[0] in "{|"
            and is_table
            and text[max(0, start - _INDENT_CHARACTERS) : start].rpartition("\n")[2].strip(" \t:*")
        ):
            continue  # a table begins and ends at the head of a line
        if mark[0] == "{" or (mark[0] == "<" and mark[1] != "/"):
            stack.append(_Opener(start, is_table, len(mark)))
            depth[is_table] += 1
        elif depth[is_table]:
            _close(stack, depth, is_table, len(mark), match.end(), regions)
    return regions


def _close(
    stack: list[_Opener], depth: dict[bool, int], is_table: bool, braces: int, end: int, regions: list[tuple[int, int]]
) -> None:
    """Close the innermost table, or as many templates as ``braces`` are for; what they hold unclosed goes with them."""
    while stack and depth[is_table] and braces > 0:
        opener = stack[-1]
        if opener.is_table == is_table and not is_table and opener.braces > braces + 1:
            opener.braces -= braces  # {{{{1}}…: the inner ones of a run
            return
        stack.pop()
        depth[opener.is_table] -= 1
        if opener.is_table != is_table:
            continue
        while regions and regions[-1][0] > opener.start:
            regions.pop()
        regions.append((opener.start, end))
        braces = 0 if is_table else braces - opener.braces


def _unlink(text: str, furniture: frozenset[str]) -> str:
    """With each link replaced by what it shows, the innermost first: the captions of files hold links."""
    if "[" not in text:
        return text

    def shown(match: re.Match[str]) -> str:
        target, label = match.groups()
        prefix, colon, rest = target.partition(":")
        prefix = prefix.strip()
        if colon and (prefix.lower() in furniture or (label is None and _LANGUAGE.fullmatch(prefix))):
            return ""
        return label or (rest if not prefix else target)

    text = _PLAIN_LINK.sub(_first_group, _EXTERNAL.sub(_first_group, text))
    for _ in range(_LINK_DEPTH):
        text, count = _LINK.subn(shown, text)
        if not count:
            break
    return text


def _drop_elements(text: str) -> str:
    """Without what marks words and shows nothing: quotes of emphasis, tags, switches, halves of links."""
    if "<" in text:
        text = _ELEMENT.sub("", _BREAK.sub("\n", text))
    if "__" in text:
        text = _SWITCH.sub("", text)
    return text.replace("'''", "").replace("''", "").replace("[[", "").replace("]]", "")


def _lines(text: str) -> Iterator[str]:
    """The lines that say something: marks of lists become dashes, a heading stays if text follows it."""
    headings: list[tuple[int, str]] = []
    is_blank = True
    for line in text.split("\n"):
        content = line.replace("  ", " ").strip()
        match = _LINE.fullmatch(content) if content[:1] in _LINE_MARKS else None
        if not content.strip("-"):
            is_blank = True
        elif match and match[1]:
            level = len(match[1])
            headings = [(above, title) for above, title in headings if above < level] + [(level, match[2])]
        elif words := (match[4].strip() if match else content):
            for _, title in headings:
                yield f"\n{title}\n"
            if is_blank and not headings:
                yield ""
            headings, is_blank = [], False
            yield f"- {words}" if match and match[3][-1] in "*#" else words


_LINE_MARKS = frozenset("=*#:;")
