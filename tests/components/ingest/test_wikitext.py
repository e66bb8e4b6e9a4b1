"""Wikitext becomes prose: each construct beside what a reader of the page would see, and no input that is slow."""

import gc
import time

import pytest

from components.ingest.wikitext import extract_prose


@pytest.mark.parametrize(
    ("wikitext", "prose"),
    [
        ("'''Bold''' and ''italic'', '''''both'''''", "Bold and italic, both"),
        ("[[Anarchism]], [[state (polity)|states]] and [[:Category:Towns]]", "Anarchism, states and Category:Towns"),
        ("see [http://x.org the page], [https://y.org] or [[w:Foo|Foo]]", "see the page,  or Foo"),
        ("[[File:A.jpg|thumb|A [[cat]] on a {{convert|3|km}} [[wall|long wall]].]]Text", "Text"),
        ("Text [[Datei:B.png|mini|Eine [[Katze]]]][[Catégorie:X]][[категория:Y]][[分类:Z]]", "Text"),
        ("[[fr:Anarchisme]]\n[[zh-min-nan:X]]\nText", "Text"),
        ("a{{cite|b={{c|{{d}}}}|e=f}}g", "ag"),
        ("{{lang|fr|mot juste}} is {{convert|5|km|mi}} away", "mot juste is 5 km away"),
        ("{{{1|default}}} text {{{{x}}|y}}", "text"),
        ("before\n{| class=x\n! h\n|-\n| {{t|}}\n{|\n| in\n|}\n| c\n|}\nafter", "before\n\nafter"),
        ("<table><tr><td>x<table></table></td></tr></table>after", "after"),
        ("one<ref name=a>note [[x]]</ref>two<ref name='a' />three<ref>{{cite}}</ref>", "onetwothree"),
        ("a<!-- b {{ c -->d", "ad"),
        ("E <math>mc^2</math> and <gallery>x|y</gallery>z", "E  and z".replace("  ", " ")),
        ("<nowiki>[[not a link]] {{nor this}} ''x''</nowiki>", "[[not a link]] {{nor this}} ''x''"),
        ("H<sub>2</sub>O<br />next &amp; &nbsp;last<span style='a'>!</span>", "H2O\nnext & \xa0last!"),
        ("* one\n** two\n# three\n: four\n; five", "- one\n- two\n- three\nfour\nfive"),
        ("Lead\n\n== Empty ==\n\n== Full ==\n=== Sub ===\nText\n== Notes ==\n{{l}}", "Lead\n\nFull\n\n\nSub\n\nText"),
        ("__NOTOC__\nText __TOC__\n----\nmore", "Text\n\nmore"),
        ("city ({{IPA|x}}) and （{{IPA|y}}）", "city and"),
        ("-{zh-hans:联邦州; zh-hant:邦}- and -{plain}-", "联邦州 and plain"),
        ("open {{ stays, [[ goes, {| in a line stays", "open {{ stays,  goes, {| in a line stays"),
        ("a {{closed}} b {{open [[link]]", "a b {{open link"),
        ("x<ref>never closed [[y]]", "xnever closed y"),
        ("stray }} and |} and ]] and </ref>", "stray }} and |} and  and"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_construct_becomes_what_its_reader_sees(wikitext: str, prose: str) -> None:
    assert " ".join(extract_prose(wikitext).split(" ")).replace("  ", " ").strip() == prose.replace("  ", " ").strip()


@pytest.mark.parametrize(
    "unit",
    [
        "{{", "}}", "{{a}}", "{|\n", "\n{|", "|}\n", "\n|}", "[[", "]]", "[[a|", "<ref>", "</ref>", "<!--", "<nowiki>",
        "[http://a ", "<table>", "<a ", "'", "={", "== a ==\n", "(", "&amp;", "{{lang|", "{{convert|1|", "-{",
        "[[a:b|c", "{{[[<ref>", " ", "__A",
    ],
)  # fmt: skip
def test_time_grows_with_length_and_not_with_what_is_nested_or_left_open(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        gc.disable()  # it looks through all that the tests before left in this process
        start = time.process_time()
        extract_prose(text)
        taken = time.process_time() - start
        gc.enable()
        return taken

    # The least of three: other tests may have the caches in between.
    short, long = (min(seconds(length) for _ in range(3)) for length in (50_000, 500_000))
    assert long < max(40 * short, 0.3)


def test_nesting_of_any_depth_is_followed() -> None:
    assert extract_prose("a" + "{{x|" * 100_000 + "}}" * 100_000 + "b") == "ab"
    assert extract_prose("a\n" + "{|\n" * 10_000 + "|}\n" * 10_000 + "b") == "a\n\nb"
