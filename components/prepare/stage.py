"""The stage ``prepare@APPLICATION``: from documents and collected records to examples in three splits.

In: what was collected, the corpus, and which of its documents the checks set aside. Out: ``examples.parquet``,
``rejected.parquet``, ``application.json`` (``components.core.examples``). In between: every draft becomes an example
or is counted with its reason. A document's examples are in the document's split, so nothing that was learned before
is asked in a test; records without a split are divided by their group. Which examples are taken, where there are
more than wanted, is decided by their identity alone.

Nothing is judged here: missing, unknown or contradictory labels are found by ``check@APPLICATION``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.core.stage import Report
from components.prepare.config import PrepareConfig

if TYPE_CHECKING:
    from components.applications import Application


def prepare(config: PrepareConfig, *, collected: Path, corpus: Path, checks: Path, output: Path, key: str) -> Report:
    """Make the examples of application ``key``. Raises ParamsError for options that it does not have."""
    from components.core.examples import write_examples
    from components.core.params import parse
    from components.prepare.examples import Desk
    from components.prepare.materials import of_collected, of_corpus

    application = find_application(key)
    options = parse(config.options, application.options, f"params.yaml, applications.{key}.prepare.options")
    desk = Desk(config, application, options)
    if config.from_corpus:
        desk.take(application.derive, of_corpus(corpus, checks))
    desk.take(application.convert, of_collected(collected, key, config.columns))
    examples, rejected = desk.examples(), desk.rejected()
    write_examples(output, examples, rejected, desk.asked(examples))
    return desk.report(examples)


def find_application(name: str) -> Application:
    """The application of that name. Raises ParamsError."""
    from components.applications import APPLICATIONS
    from components.core.errors import ParamsError

    if name not in APPLICATIONS:
        expected = f"one of {', '.join(sorted(APPLICATIONS))}"
        fix = f"choose one of them, or add components/applications/{name}.py"
        raise ParamsError(f"params.yaml, applications.{name}", found="no such application", expected=expected, fix=fix)
    return APPLICATIONS[name]
