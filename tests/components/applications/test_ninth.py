"""A ninth application is one file and one entry of params.yaml: everything else finds it."""

from __future__ import annotations

import pytest

from tests.worlds import Workspace

pytestmark = pytest.mark.slow
FILE = '''"""Headlines: a text in capital letters."""

from __future__ import annotations

from collections.abc import Sequence

from components.applications.application import Application, Body, Draft, Material, Refusal
from components.applications.texts import each, layout, one_by_one


class HeadlineRequest(Body):
    """A text."""

    text: str


class HeadlineResponse(Body):
    """Its headline."""

    headline: str


def _ask(request: HeadlineRequest) -> str:
    return layout(("headline", request.text), ("capitals", ""))


def _respond(ranked: Sequence[tuple[str, float]]) -> HeadlineResponse:
    return HeadlineResponse(headline=ranked[0][0])


def _derive(material: Material, _options: object) -> Draft | Refusal:
    text = str(material.fields["text"])
    return Draft(HeadlineRequest(text=text), text[:20].upper())


APPLICATION = Application(
    name="headline", sentence="Says a text in capitals.", request=HeadlineRequest, response=HeadlineResponse,
    example=HeadlineRequest(text="Rain in May."), ask=_ask, respond=_respond, decoding="write",
    metrics=("exact_match", "bits_per_byte"), floors=("copy",), derive=each(_derive),
    convert=one_by_one(HeadlineRequest, "headline"),
    expects={"A headline is in capitals": lambda request, answer: answer == answer.upper()},
)
'''
ENTRY = """
  headline:
    prepare: {from_corpus: true, max_train_examples: 40, max_held_out_examples: 10}
    check: {}
    assess: {model: finetune/assistant}
"""


def test_one_file_and_one_entry_are_a_ninth_application(chain: Workspace) -> None:
    (chain.root / "components/applications/headline.py").write_text(FILE)
    chain.replace("params.yaml", "\napplications:\n", f"\napplications:{ENTRY}")
    planned = chain.pedigree("plan").stdout
    assert "prepare@headline" in planned
    assert "has not run yet" in planned
    assert "train " not in planned.replace("finetune", "")
    chain.dvc("repro", "check@headline")
    assert "40" in (chain.root / "data/prepare/headline/report.json").read_text()
    assert "A headline is in capitals" in (chain.root / "data/check/headline/page.html").read_text()
    chain.replace("params.yaml", ENTRY.lstrip("\n"), "")
    chain.pedigree("plan")
    assert not (chain.root / "data/prepare/headline").exists()


def test_an_application_that_nobody_wrote_is_refused_by_name(chain: Workspace) -> None:
    chain.replace("params.yaml", "\napplications:\n", "\napplications:\n  clasify: {prepare: {}, check: {}}\n")
    done = chain.pedigree("plan", check=False)
    assert done.returncode == 2
    assert "applications.clasify" in done.stdout
    assert "Traceback" not in done.stdout
