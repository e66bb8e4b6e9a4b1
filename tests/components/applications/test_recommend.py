"""What is told of a user's choices, in which order, and what is to be guessed."""

import pytest

from components.applications import APPLICATIONS
from components.applications.application import Draft, Made, Material

RECOMMEND = APPLICATIONS["recommend"]


def convert(*fields: dict[str, str], **options: int) -> list[Made]:
    """What is made of records in the order of a file; their identities have another."""
    materials = [Material(str(100 - n), given, "ratings", "", None, None) for n, given in enumerate(fields)]
    return list(RECOMMEND.convert(materials, RECOMMEND.options(**options)))


def histories(*fields: dict[str, str]) -> list[tuple[list[str], str]]:
    """What each example tells and asks for."""
    return [(draft.request.history, draft.answer) for _, draft in convert(*fields) if isinstance(draft, Draft)]


@pytest.mark.parametrize("times", [{}, {"time": "7"}], ids=["no times", "equal times"])
def test_choices_whose_times_do_not_tell_keep_the_order_of_their_file(times: dict[str, str]) -> None:
    found = histories(*({"user": "1", "item": item, **times} for item in "wxyz"))
    assert found == [(["w"], "x"), (["w", "x"], "y"), (["w", "x", "y"], "z")]


def test_times_tell_the_order_where_there_are_some() -> None:
    found = histories(*({"user": "1", "item": item, "time": time} for item, time in zip("wxyz", "4213", strict=True)))
    assert found[-1] == (["y", "x", "z"], "w")


def test_what_is_asked_for_is_the_next_line_of_the_history() -> None:
    """So that whoever learns of a history's own lines learns what is asked."""
    (told, answer), (longer, _) = histories(*({"user": "1", "item": item} for item in "wxyz"))[1:]
    first, second = (RECOMMEND.ask(RECOMMEND.request(history=history)) for history in (told, longer))
    assert second == f"{first}{answer}\n"


def test_of_what_is_learned_every_so_manieth_choice_is_asked_for_and_each_is_told_of() -> None:
    made = convert(*({"user": "1", "item": item} for item in "abcdefghij"), train_items=6, train_stride=3)
    asked = [(group.split, "".join(one.request.history), one.answer) for group, one in made if isinstance(one, Draft)]
    assert asked == [
        ("train", "abcd", "e"), ("train", "abcdefg", "h"), ("validation", "abcdefgh", "i"), ("test", "abcdefghi", "j"),
    ]  # fmt: skip
    assert sum(not isinstance(one, Draft) for _, one in made) == 6
