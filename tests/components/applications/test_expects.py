"""What each application expects of its examples beyond what all do: a sound one holds it, a planted fault does not."""

from typing import Any

import pytest

from components.applications import APPLICATIONS

TEXT = "Two young people are outside, and both of them look at the sea."
SAID = [{"role": "user", "content": "What is a sea?"}]
# Request, a sound answer, and a faulty one for each expectation in its order.
PLANTED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "translate": ({"text": TEXT}, "Zwei junge Leute sind draußen und sehen beide das Meer an.", ["Ja. " * 200, TEXT]),
    "summarise": ({"text": TEXT}, "Two look at the sea.", [TEXT]),
    "answer": ({"question": "What is a sea?"}, "Salt water.", ["What is a sea?"]),
    "chat": ({"messages": SAID}, "Salt water.", ["What is a sea?"]),
    "generate": ({"prompt": TEXT}, "The sea is calm.", [TEXT]),
    "recommend": ({"history": ["Heat", "Alien"]}, "Fargo", ["Alien"]),
}


def test_every_expectation_of_an_application_is_planted_here() -> None:
    expected = {name: len(one.expects) for name, one in APPLICATIONS.items() if one.expects}
    assert {name: len(faults) for name, (_, _, faults) in PLANTED.items()} == expected


@pytest.mark.parametrize("name", PLANTED)
def test_a_sound_example_holds_all_and_each_fault_breaks_its_own(name: str) -> None:
    fields, sound, faults = PLANTED[name]
    request = APPLICATIONS[name].request.model_validate(fields)
    assert all(holds(request, sound) for holds in APPLICATIONS[name].expects.values())
    assert not any(h(request, fault) for h, fault in zip(APPLICATIONS[name].expects.values(), faults, strict=True))


@pytest.mark.parametrize("translation", ["是。", "Ja."])
def test_a_few_words_may_be_translated_by_one(translation: str) -> None:
    request = APPLICATIONS["translate"].request.model_validate({"text": "That is right, yes."})
    assert all(holds(request, translation) for holds in APPLICATIONS["translate"].expects.values())
