"""What a model gives away of its training: verbatim extraction, canary exposure, each with a control, personal data.

In: a model, documents it was trained on and documents it was not, samples. Out: rows of scores. In between: a model
that is given the first tokens of a document and always takes its likeliest token writes the document's own tokens
exactly as long as its likeliest token is the document's, so one pass over the text tells how far (Carlini et al.
2023, "Quantifying memorization", section 3.1) without writing anything. The control is the same on held-out
documents: what can be guessed without having been seen.

The exposure of a planted canary is ``log2((N + 1) / rank)`` among N references that were never planted, ranked by
likelihood (Carlini et al. 2019, "The secret sharer", section 4.2, exposure by sampling): bits by which a guess got
easier. It cannot be above ``log2(N + 1)``, and of a canary that was not learned it is 1.44 bits on average.

Not covered: extraction by other prompts than a document's own beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.canaries import Kind, canary
from components.core.files import sha256_bytes
from components.core.personal import find
from components.core.scores import make_scores
from components.core.tokens import TokenSplit
from components.evaluate.config import EvaluateConfig
from components.evaluate.samples import identity
from components.model.scoring import token_judgements
from components.model.transformer import Transformer

EXTRACTION, CONTROL, PERSONAL_DATA = "extraction", "extraction_control", "personal_data"
EXPOSURE, EXPOSURE_CONTROL = "canary_exposure", "canary_exposure_control"
Floats = npt.NDArray[np.float64]


def extraction(
    config: EvaluateConfig, model: Transformer, split: TokenSplit, metric: str, end_of_text: int
) -> pa.Table:
    """How much of what follows their beginnings the model would write of documents: tokens, of so many."""
    num = min(config.extraction_tokens, model.config.context_tokens // 2)
    documents = split.documents()
    lengths, names = documents.column("num_tokens").to_numpy(), documents.column("doc_id").to_pylist()
    taken = sorted(np.flatnonzero(lengths > 2 * num).tolist(), key=names.__getitem__)[: config.extraction_documents]
    if not taken:
        return make_scores(metric, [], [], [], [])
    windows = np.array([[end_of_text, *split.document(p)[: 2 * num].tolist()] for p in taken], np.int32)
    items = [sha256_bytes(window.tobytes()) for window in windows]
    return make_scores(
        metric, [names[p] for p in taken], items, count_leading(model, windows, num), [float(num)] * len(taken)
    )


def count_leading(model: Transformer, windows: npt.NDArray[np.int32], num: int) -> npt.NDArray[np.float64]:
    """How many of the last ``num`` tokens of each window, from their first on, are the likeliest.  # [len(windows)]"""
    is_best = token_judgements(model, windows)[:, -num:, 2]
    leading: npt.NDArray[np.float64] = np.cumprod(is_best, axis=1).sum(axis=1).astype(np.float64)
    return leading


def exposures(num_planted: int, num_references: int, losses: Callable[[Sequence[str]], Floats]) -> list[pa.Table]:
    """The exposure in bits of each planted canary, and of as many that were never planted."""
    if not num_planted:
        return []
    groups: tuple[tuple[Kind, int], ...] = (
        ("planted", num_planted), ("control", num_planted), ("reference", num_references)
    )  # fmt: skip
    texts = [canary(kind, number) for kind, count in groups for number in range(count)]
    planted, control, references = np.split(losses(texts), [num_planted, 2 * num_planted])
    items = [sha256_bytes(text.encode()) for text in texts[: 2 * num_planted]]
    return [
        make_scores(metric, names, names, exposure(found, references), [1.0] * num_planted)
        for metric, names, found in (
            (EXPOSURE, items[:num_planted], planted), (EXPOSURE_CONTROL, items[num_planted:], control)
        )
    ]  # fmt: skip


def exposure(losses: Floats, references: Floats) -> Floats:
    """Bits by which each canary is easier to guess than by chance.  # [num_canaries]"""
    ranks = 1 + np.searchsorted(np.sort(references), losses)
    bits: Floats = np.log2((len(references) + 1) / ranks)
    return bits


def personal_data(samples: Sequence[Mapping[str, object]]) -> pa.Table:
    """How many pieces of personal data stand in each sample."""
    items = [identity(sample) for sample in samples]
    found = [float(len(find(str(sample["text"]).encode()))) for sample in samples]
    return make_scores(PERSONAL_DATA, items, items, found, [1.0] * len(samples))


def means(tables: Sequence[pa.Table]) -> dict[str, float]:
    """The value of each metric that was measured at all."""
    measured = [table for table in tables if table.num_rows]
    return {table["metric"][0].as_py(): pc.sum(table["total"]).as_py() / pc.sum(table["size"]).as_py()
            for table in measured}  # fmt: skip
