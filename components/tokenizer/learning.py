"""Learning a byte-level BPE vocabulary (Sennrich, Haddow and Birch 2016, section 3.2; bytes as in GPT-2, section 2.2).

In: texts in a fixed order. Out: a tokenizer. In between: merges go by count and then by token number, so equal
texts give an equal vocabulary however many threads counted them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.compute as pc
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from components.core.documents import count_documents, read_row_groups
from components.core.progress import Progress
from components.tokenizer.codec import END_OF_TEXT


def learn(texts: Iterable[list[str]], vocabulary_size: int, min_frequency: int) -> Tokenizer:
    """A tokenizer of at most ``vocabulary_size`` tokens: end of text, the 256 bytes, then merges.

    A pair that occurs fewer than ``min_frequency`` times is not merged, so few texts give a smaller vocabulary.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_frequency,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _without_added_tokens(tokenizer)


def texts_of_split(corpus: Path, split: str, counts: Counter[str]) -> Iterator[list[str]]:
    """The texts of one split, a row group at a time; ``counts`` gets the number of documents of every split."""
    with Progress("learning the tokenizer", total=count_documents(corpus), unit="documents") as progress:
        for table in read_row_groups(corpus, ["split", "text"]):
            counts.update(table.column("split").to_pylist())
            yield table.filter(pc.equal(table.column("split"), split)).column("text").to_pylist()
            progress.advance(table.num_rows)


def _without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    # The trainer also lists end of text as an added token, which the library would then find in any text.
    return Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), "added_tokens": []}))
