"""The stage ``pack``: corpus, checks and tokenizer → the artifact that ``components.core.tokens`` describes.

In: the documents of preprocess, what their validation set aside, a tokenizer. Out: a stream per split.
In between: every document is in exactly one stream or was quarantined, and the books count both.
"""

from __future__ import annotations

from pathlib import Path

from components.core.stage import Books, Report
from components.pack.config import PackConfig


def pack(config: PackConfig, *, corpus: Path, checks: Path, tokenizer: Path, output: Path) -> Report:
    """Encode every document that was not quarantined.

    Raises InputError for a split that has no name here, and for checks or a tokenizer that are not of this chain.
    """
    from components.core.files import write_json
    from components.core.quarantine import read_quarantine
    from components.core.tokens import LAYOUT
    from components.pack.encoding import encode_corpus
    from components.tokenizer.codec import Codec

    codec, quarantined = Codec.load(tokenizer), read_quarantine(checks)
    layout = encode_corpus(corpus, quarantined, codec, config.context_tokens, output)
    write_json(output / LAYOUT, layout.model_dump(mode="json"))
    kept = sum(split.documents for split in layout.splits.values())
    metrics = {f"{name}_{key}": n for name, split in layout.splits.items() for key, n in split.model_dump().items()}
    books = Books(received=kept + len(quarantined), kept=kept, dropped={"quarantined": len(quarantined)})
    return Report(metrics=metrics, books=books)
