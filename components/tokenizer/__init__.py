"""Byte-level BPE: the stage that learns a vocabulary, and the library that encodes and decodes with it.

Importing this package is cheap; ``components.tokenizer.codec`` is the library.
"""

from components.core.stage import Stage
from components.tokenizer.config import TokenizerConfig
from components.tokenizer.stage import tokenizer

STAGE = Stage("tokenizer", TokenizerConfig, tokenizer)

__all__ = ["STAGE", "TokenizerConfig", "tokenizer"]
