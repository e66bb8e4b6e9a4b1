"""The stage ``preprocess``: from checked documents to a corpus in three splits.

In: document shards and what the checks quarantined. Out: ``documents-*.parquet`` with normalised texts and a column
``split``, and ``rejects.parquet``. In between: every document is kept or dropped for one reason, and which ones are
kept depends neither on their order nor on who worked.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from components.core.crew import Crew
from components.core.stage import Report
from components.preprocess.config import PreprocessConfig


def preprocess(
    config: PreprocessConfig, *, documents: Path, checks: Path, output: Path, crew: Crew | None = None
) -> Report:
    """Normalise, filter, deduplicate and split. Raises InputError for inputs that are not what they should be."""
    from components.core.parallel import Workers
    from components.preprocess.passes import Passes
    from components.preprocess.pieces import Plan

    with TemporaryDirectory() as scratch, Workers(crew or Crew()) as workers:
        return Passes(Plan(config, checks, Path(scratch)), workers).write_corpus(documents, output)
