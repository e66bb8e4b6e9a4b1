"""Text to tokens and back, with a learned byte-level BPE.

In: a ``tokenizer.json`` in the format of Hugging Face ``tokenizers``, and texts. Out: arrays of token numbers.
In between: every text comes back byte for byte, and no text can produce the end-of-text token. That token is an
ordinary entry of the vocabulary that no merge leads to, and the file holds no "added tokens", which the library
would look for in every text; so whoever loads the file elsewhere has the same guarantee.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from components.core.errors import InputError

END_OF_TEXT = "<|endoftext|>"
FILE = "tokenizer.json"
Tokens = npt.NDArray[np.uint32]


class Codec:
    """A vocabulary at work.

    Attributes:
        vocabulary_size: number of tokens; all token numbers are below it.
        end_of_text: the number of the token that ends each document.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        self._tokenizer = tokenizer
        self.vocabulary: dict[str, int] = vocabulary
        self.merges: list[tuple[str, str]] = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
        self.vocabulary_size = len(vocabulary)
        self.end_of_text = vocabulary[END_OF_TEXT]
        names = sorted(vocabulary, key=vocabulary.__getitem__)
        self._bytes = [b"" if name == END_OF_TEXT else bytes(BYTE_OF[c] for c in name) for name in names]

    @classmethod
    def load(cls, folder: Path) -> Codec:
        """The codec of an artifact of the tokenizer stage. Raises InputError for a file that breaks the promises."""
        path = folder / FILE
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception for a missing or broken file
            raise _refuse(path, str(error)) from None
        if fault := _fault(tokenizer):
            raise _refuse(path, fault)
        return cls(tokenizer)

    def encode(self, text: str) -> Tokens:
        """The tokens of one text, without an end-of-text token.  # [num_tokens]"""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text; works on all cores, and the result does not depend on how many."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]

    def decode_bytes(self, tokens: Iterable[int]) -> bytes:
        """The bytes that the tokens stand for; end of text and what only a larger model knows stand for none."""
        return b"".join([self._bytes[token] for token in tokens if token < self.vocabulary_size])

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of the tokens; a character cut in half, as models may write, shows as U+FFFD."""
        return self.decode_bytes(tokens).decode("utf-8", errors="replace")


def _fault(tokenizer: Tokenizer) -> str | None:
    """What about ``tokenizer`` breaks the promises of this module, if anything does."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=False)
    if tokenizer.get_added_tokens_decoder():
        return "added tokens, which texts could produce"
    if tokenizer.normalizer is not None:
        return "a normalizer, which changes texts"
    if END_OF_TEXT not in vocabulary:
        return f"a vocabulary without {END_OF_TEXT}"
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        return "token numbers with gaps"
    if not BYTE_OF.keys() <= vocabulary.keys():
        return "a vocabulary that lacks some of the 256 bytes"
    if any(not set(name) <= BYTE_OF.keys() for name in vocabulary.keys() - {END_OF_TEXT}):
        return "a vocabulary that is not byte-level"
    return None


def _refuse(path: Path, found: str) -> InputError:
    fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
    return InputError(str(path), found=found, expected="a byte-level BPE of the tokenizer stage", fix=fix)


def _bytes_of_characters() -> dict[str, int]:
    """The printable character by which byte-level BPE writes each byte (GPT-2, ``encoder.py``, bytes_to_unicode)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


BYTE_OF: dict[str, int] = _bytes_of_characters()
