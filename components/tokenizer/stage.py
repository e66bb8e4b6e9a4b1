"""The stage ``tokenizer``: corpus → ``tokenizer.json``, learned from the training split alone.

In: the documents of preprocess. Out: one file in the format of Hugging Face ``tokenizers``.
In between: validation and test documents are counted and not read, so no held-out text shapes the vocabulary.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from components.core.errors import InputError
from components.core.files import write_whole
from components.core.stage import Books, Report
from components.tokenizer.config import TokenizerConfig

_TRAIN = "train"


def tokenizer(config: TokenizerConfig, *, corpus: Path, output: Path) -> Report:
    """Learn a vocabulary from the training split. Raises InputError when that split holds no document."""
    from components.tokenizer.codec import FILE
    from components.tokenizer.learning import learn, texts_of_split

    splits = Counter[str]()
    learned = learn(texts_of_split(corpus, _TRAIN, splits), config.vocabulary_size, config.min_frequency)
    if not splits[_TRAIN]:
        raise _nothing_to_learn_from(corpus, splits.total())
    write_whole(output / FILE, learned.to_str(pretty=True).encode())
    return Report(metrics={"vocabulary_size": learned.get_vocab_size()}, books=_books(splits))


def _books(splits: Counter[str]) -> Books:
    dropped = {f"held out for {name}": count for name, count in sorted(splits.items()) if name != _TRAIN}
    return Books(received=splits.total(), kept=splits[_TRAIN], dropped=dropped)


def _nothing_to_learn_from(corpus: Path, num_documents: int) -> InputError:
    return InputError(
        str(corpus),
        found=f"{num_documents} documents, none of them in the split train",
        expected="at least one document to learn from",
        fix="give ingest more documents, or change the split of preprocess in params.yaml",
    )
