"""The stage ``assess@APPLICATION``: a model and the test examples of one application → scores, floors, a page.

In: a model, its tokenizer, the examples and what the checks set aside. Out: ``answers.parquet`` (what was said to each
question), ``scores.parquet`` (all that the gate compares), ``page.html`` and flat metrics. In between: the model is
asked the test split alone; floors learn from the training split, where they learn, and are asked the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.assess.config import AssessConfig
from components.core.stage import Books, Report

if TYPE_CHECKING:
    import pyarrow as pa

    from components.assess.answers import Respondent
    from components.assess.metrics import Metric
    from components.assess.questions import Question, Said
    from components.assess.summary import Figures
    from components.core.toxicity import Judge

ANSWERS, PAGE = "answers.parquet", "page.html"
_ROW_GROUP_ROWS = 10_000


def assess(
    config: AssessConfig, *, model: Path, tokenizer: Path, examples: Path, checks: Path, output: Path, key: str
) -> Report:
    """Ask and score. Raises InputError when there is nothing to ask, or when the inputs contradict each other."""
    import pyarrow.parquet as pq

    from components.applications import APPLICATIONS
    from components.assess import page, summary
    from components.assess.answers import Respondent
    from components.assess.floors import FLOORS
    from components.assess.questions import read_questions
    from components.core import toxicity
    from components.core.examples import read_asked
    from components.core.files import write_whole
    from components.core.scores import write_scores

    application, asked, respondent = APPLICATIONS[key], read_asked(examples), Respondent(model, tokenizer)
    learned, _ = read_questions(examples, checks, "train")
    questions, left_out = read_questions(examples, checks, "test", config.max_examples)
    needs_learning = any(FLOORS[name].is_learned for name in application.floors)
    _require(examples, learned if needs_learning else questions, questions)
    said = respondent.say(config, application, asked, questions)
    floors = _floors(application.floors, learned, questions, respondent)
    judge = toxicity.learn(config.toxic_texts) if config.toxic_texts and application.decoding == "write" else None
    if judge:
        said, floors = _marked(judge, said), {name: _marked(judge, answers) for name, answers in floors.items()}
    figures = summary.measure(application.metrics, questions, said, floors, config)
    pq.write_table(_answers(questions, said), output / ANSWERS, compression="zstd", row_group_size=_ROW_GROUP_ROWS)
    tables = [
        table for floor, answers in {"": said, **floors}.items()
        for table in _scores(key, application.metrics, questions, answers, floor, judge)
    ]  # fmt: skip
    write_scores(output, tables)
    write_whole(output / PAGE, page.draw(application, config, figures, questions, said))
    books = Books(len(questions) + left_out, len(questions), {"set aside, unanswered or over the limit": left_out})
    return Report({**_metrics(figures), **(judge.figures if judge else {})}, books)


def _floors(
    names: Sequence[str], learned: Sequence[Question], questions: Sequence[Question], respondent: Respondent
) -> dict[str, list[Said]]:
    from components.assess.floors import FLOORS
    from components.core.progress import Progress

    found = {}
    with Progress("measuring floors", total=len(names), unit="floors") as progress:
        for name in names:
            floor = FLOORS[name]
            found[floor.title] = floor.say(learned, questions, respondent)
            progress.advance(note=floor.title)
    return found


def _marked(judge: Judge, said: Sequence[Said]) -> list[Said]:
    """The same answers, each marked as toxic or not; what has no text has no mark."""
    marks = iter(judge.mark([one.text for one in said if one.text is not None]))
    return [one if one.text is None else replace(one, is_toxic=next(marks)) for one in said]


def _scores(
    application: str, names: Sequence[str], questions: Sequence[Question], said: Sequence[Said], floor: str,
    judge: Judge | None,
) -> Iterator[pa.Table]:  # fmt: skip
    """The rows of every metric that is a ratio of sums, under the name of the application; of a floor, or the model."""
    from components.assess.metrics import METRICS
    from components.core.scores import make_scores, of_floor

    groups, slices = [question.group for question in questions], [question.slices for question in questions]
    for name in (name for name in names if METRICS[name].value is None and METRICS[name].can_measure(said)):
        rows, metric = METRICS[name].rows(questions, said), f"{application}.{name}"
        if rows[:, 1].any():  # nothing is measured over nothing, such as pairs of words in answers of one word
            items, full_name = _items(METRICS[name], questions, judge), of_floor(metric, floor) if floor else metric
            yield make_scores(full_name, groups, items, rows[:, 0], rows[:, 1], slices)


def _items(metric: Metric, questions: Sequence[Question], judge: Judge | None) -> list[str]:
    """By what two models know that they were scored on the same; a mark is its judge's as well."""
    items = [question.item for question in questions]
    return [judge.item(item) for item in items] if judge and metric.needs == "is_toxic" else items


def _answers(questions: Sequence[Question], said: Sequence[Said]) -> pa.Table:
    import pyarrow as pa

    return pa.table({
        "example_id": pa.array([q.identity for q in questions], pa.string()),
        "answer": pa.array([q.answer for q in questions], pa.large_string()),
        "said": pa.array([s.text for s in said], pa.large_string()),
        "ranked": pa.array([s.ranked for s in said], pa.list_(pa.large_string())),
        "chance": pa.array([s.chances and max(s.chances.values()) for s in said], pa.float64()),
        "loss_nats": pa.array([s.loss_nats for s in said], pa.float64()),
    })  # fmt: skip


def _metrics(figures: Sequence[Figures]) -> Mapping[str, float]:
    """Each metric with its interval, and the best floor beside it."""
    found: dict[str, float] = {}
    for one in figures:
        found[one.name] = one.model.value
        if one.model.low is not None and one.model.high is not None:
            found |= {f"{one.name}_low": one.model.low, f"{one.name}_high": one.model.high}
        if one.best_floor is not None:
            found[f"{one.name}_floor"] = one.best_floor.value
    return found


def _require(examples: Path, learned: Sequence[Question], questions: Sequence[Question]) -> None:
    from components.core.errors import InputError

    if not learned or not questions:
        raise InputError(
            str(examples), found=f"{len(learned)} examples to learn from, {len(questions)} to ask",
            expected="at least one of each", fix="name more data for the application in params.yaml",
        )  # fmt: skip
