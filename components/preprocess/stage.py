"""The stage ``preprocess``: from checked documents to a corpus in three splits.

In: document shards and what the checks quarantined. Out: ``documents-*.parquet`` with normalised texts and a column
``split``, and ``rejects.parquet``. In between: every document is kept or dropped for one reason, and which ones are
kept does not depend on their order.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from components.core.stage import Report
from components.preprocess.config import PreprocessConfig


def preprocess(config: PreprocessConfig, *, documents: Path, checks: Path, output: Path) -> Report:
    """Normalise, filter, deduplicate and split. Raises InputError for inputs that are not what they should be."""
    from components.preprocess.passes import write_corpus

    with TemporaryDirectory() as scratch:
        return write_corpus(documents, checks, output, Path(scratch), config)
