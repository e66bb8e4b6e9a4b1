"""Recommendation: what comes next after what somebody chose so far, out of a whole catalogue.

From the corpus: the names in "See Also" lists; the last of each list is to be guessed from the name of its document and
the others. Records are choices (``user``, ``item`` and perhaps ``time``) and, where items have names, ``item`` with
``title``. Of each user the last choice is a test, the one before it a validation (leave-last-out), all earlier ones
are learned, so a user is in all three splits but no choice is. Choices whose times do not tell stand as in their file.

A choice is a line of the prompt, and what is asked for is the next line: who learns the lines of a prompt as well
(``finetune.NAME.prompt_weight``) learns what is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from components.applications.application import Application, Body, Draft, Made, Material, Refusal
from components.applications.documentation import see_also, short
from components.applications.texts import excerpt
from components.core.stage import Config
from components.core.tokens import SPLITS

_MOST_ITEMS, _MOST_TOLD = 1000, 50


class RecommendOptions(Config):
    """Values of this application."""

    history_items: int = Field(10, description="last choices that a request names", ge=1, le=_MOST_ITEMS)
    train_items: int = Field(20, description="last choices of a user that are learned, one example each", ge=1)
    train_stride: int = Field(
        1,
        description="learn every so-manieth of these only, the last one first; the histories tell those between",
        ge=1,
    )

    def is_asked_for(self, behind: int) -> bool:
        """Whether a choice is to be guessed in an example, by how many choices of the user come after it."""
        is_held_out, place = behind < 2, behind - 2
        return is_held_out or (place < self.train_items and place % self.train_stride == 0)


class RecommendRequest(Body):
    """What somebody chose so far, the oldest first; the model reads the last 50, and none of all is recommended."""

    history: list[str] = Field(min_length=1, max_length=_MOST_ITEMS)


class RecommendResponse(Body):
    """What may come next, the likeliest first."""

    items: list[str]
    probabilities: list[float]


def _ask(request: RecommendRequest) -> str:
    items = "\n".join(excerpt(item) for item in request.history[-_MOST_TOLD:])
    return f"[recommend]\n{items}\n"


def _excluded(request: RecommendRequest) -> list[str]:
    """What somebody chose already is not recommended."""
    return request.history


def _respond(ranked: Sequence[tuple[str, float]]) -> RecommendResponse:
    return RecommendResponse(items=[item for item, _ in ranked], probabilities=[chance for _, chance in ranked])


def _derive(materials: Sequence[Material], options: RecommendOptions) -> Iterator[Made]:
    for material in materials:
        name = short(str(material.fields.get("name", "")))
        listed = [item for item in see_also(str(material.fields["text"])) if item != name]
        if not name or not listed:
            yield material, Refusal("no_list", "no name, or no See Also list")
        else:
            yield material, _next([name, *listed], options)


def _convert(materials: Sequence[Material], options: RecommendOptions) -> Iterator[Made]:
    titles = {str(m.fields["item"]): str(m.fields["title"]) for m in materials if "title" in m.fields}
    chosen: dict[str, list[Material]] = defaultdict(list)
    for material in materials:
        if "user" in material.fields and "item" in material.fields:
            chosen[str(material.fields["user"])].append(material)
        elif "title" not in material.fields:
            yield material, Refusal("no_choice", "neither user and item nor item and title")
    for _, choices in sorted(chosen.items()):
        yield from _of_user(sorted(choices, key=_time), titles, options)


def _of_user(choices: Sequence[Material], titles: Mapping[str, str], options: RecommendOptions) -> Iterator[Made]:
    """An example for each of the last choices of one user; all are one group, named after the first choice."""
    names = [titles.get(str(choice.fields["item"]), str(choice.fields["item"])) for choice in choices]
    for place, choice in enumerate(choices):
        behind = len(choices) - 1 - place
        if place == 0 or not options.is_asked_for(behind):
            yield choice, Refusal("history_only", "told of, not asked for")
        else:
            group = choice._replace(identity=choices[0].identity, split=SPLITS[max(0, 2 - behind)])
            yield group, _next(names[: place + 1], options)._replace(part=choice.identity)


def _next(items: Sequence[str], options: RecommendOptions) -> Draft:
    """The last of some items, to be guessed from those before it."""
    return Draft(RecommendRequest(history=list(items[:-1][-options.history_items :])), items[-1])


def _time(choice: Material) -> float:
    return float(choice.fields.get("time", 0))


def _catalogue(materials: Sequence[Material], _options: Any) -> list[str]:
    """Everything that can be recommended: the items' titles, or whatever stands in a list or was chosen."""
    titles = {str(m.fields["title"]) for m in materials if "title" in m.fields}
    if titles:
        return sorted(titles)
    chosen = {str(m.fields["item"]) for m in materials if "item" in m.fields}
    listed = (item for m in materials if "text" in m.fields for item in see_also(str(m.fields["text"])))
    return sorted(chosen | set(listed))


APPLICATION = Application(
    name="recommend",
    sentence="Recommends what to look at next.",
    request=RecommendRequest,
    response=RecommendResponse,
    example=RecommendRequest(history=["shortest_path", "all_shortest_paths"]),
    options=RecommendOptions,
    ask=_ask,
    respond=_respond,
    decoding="rank",
    metrics=("ndcg_10", "hit_rate_10"),
    floors=("popularity", "item_neighbours"),
    derive=_derive,
    convert=_convert,
    catalogue=_catalogue,
    excluded=_excluded,
    expects={"What is to be guessed was not chosen before": lambda request, answer: answer not in request.history},
)
