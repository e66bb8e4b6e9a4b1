"""The stage ``evaluate``: a model and the tokens of held-out documents → scores, intervals, samples, a page.

In: a trained model, the packed corpus and its tokenizer. Out: ``documents.parquet`` (scores of each document, for
paired comparisons), ``samples.json``, ``page.html`` and flat metrics. In between: only the test split is scored,
each token once, and a 5-gram model counted on the training split is scored on the same tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import write_json, write_whole
from components.core.stage import Books, Report
from components.evaluate.config import EvaluateConfig

if TYPE_CHECKING:
    import pyarrow as pa

    from components.core.tokens import TokenSplit
    from components.evaluate.choosing import Positions
    from components.evaluate.scoring import Floats, Tokens
    from components.tokenizer.codec import Codec

_ROW_GROUP_ROWS = 10_000


def evaluate(config: EvaluateConfig, *, model: Path, tokens: Path, tokenizer: Path, output: Path) -> Report:
    """Score held-out documents. Raises InputError when there is none, or when the inputs contradict each other."""
    import pyarrow.parquet as pq

    from components.core.tokens import TokenSplit
    from components.evaluate import page, summary
    from components.evaluate.choosing import choose
    from components.tokenizer.codec import Codec

    split, codec = TokenSplit.open(tokens, "test"), Codec.load(tokenizer)
    chosen = choose(split.documents(), max_documents=config.max_documents, max_tokens=config.max_tokens)
    if not len(chosen):
        raise _nothing_to_score(tokens, split.num_documents)
    scored = _score(config, model, tokens, split, chosen, codec)
    pq.write_table(scored, output / "documents.parquet", compression="zstd", row_group_size=_ROW_GROUP_ROWS)
    samples = draw_samples(config, model, codec)
    write_json(output / "samples.json", samples)
    overall, sources = summary.summarise(scored, config), summary.summarise_sources(scored, config)
    write_whole(output / "page.html", page.draw(overall, sources, samples, config.level))
    dropped = {"over the limit or empty": split.num_documents - len(chosen)}
    return Report(summary.metrics(overall, sources), Books(split.num_documents, len(chosen), dropped))
