"""The stage ``pack``: corpus, checks and tokenizer → the artifact that ``components.core.tokens`` describes.

In: the documents of preprocess, what their validation set aside, a tokenizer. Out: a stream per split.
In between: row groups are encoded by whoever is there and appended in their order; every document is in exactly one
stream or was quarantined, and the books count both.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from components.core.crew import Crew
from components.core.stage import Books, Report
from components.pack.config import PackConfig


def pack(
    config: PackConfig, *, corpus: Path, checks: Path, tokenizer: Path, output: Path, crew: Crew | None = None
) -> Report:
    """Encode every document that was not quarantined.

    Raises InputError for a split that has no name here, and for checks or a tokenizer that are not of this chain.
    """
    from components.core.files import write_json
    from components.core.tokens import LAYOUT
    from components.pack.streams import write_streams

    with TemporaryDirectory() as scratch:
        layout, num_quarantined = write_streams(
            config, corpus, checks, tokenizer, output, Path(scratch), crew or Crew()
        )
    write_json(output / LAYOUT, layout.model_dump(mode="json"))
    kept = sum(split.documents for split in layout.splits.values())
    metrics = {f"{name}_{key}": n for name, split in layout.splits.items() for key, n in split.model_dump().items()}
    books = Books(received=kept + num_quarantined, kept=kept, dropped={"quarantined": num_quarantined})
    return Report(metrics=metrics, books=books)
