"""Not prose: Gopher's quality rules (Rae et al. 2021, arXiv:2112.11446, section A1.1).

In: ``components.preprocess.measures``. Out: limits. In between: words are those of spaCy's English
tokenizer, as in datatrove; a word that consists of symbols alone counts neither for number nor for length.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from components.core.stage import Config
from components.preprocess.rules.limits import Limit


class GopherQuality(Config):
    """Thresholds of section A1.1; null switches a single rule off."""

    enabled: bool
    min_words: int | None = Field(ge=0)
    max_words: int | None = Field(ge=0)
    min_mean_word_length: float | None = Field(ge=0, description="characters")
    max_mean_word_length: float | None = Field(ge=0, description="characters")
    max_symbol_ratio: float | None = Field(ge=0, description="hash signs, and ellipses, per word")
    max_bullet_line_ratio: float | None = Field(ge=0)
    max_ellipsis_line_ratio: float | None = Field(ge=0)
    min_alphabetic_word_ratio: float | None = Field(ge=0, description="words with a letter")
    min_stop_words: int | None = Field(ge=0, description="different ones of stop_words")
    stop_words: list[str] = Field(max_length=64)

    def limits(self) -> Iterator[Limit]:
        """The limits in datatrove's order."""
        yield Limit("gopher_few_words", "num_words", low=self.min_words)
        yield Limit("gopher_many_words", "num_words", high=self.max_words)
        yield Limit("gopher_short_words", "mean_word_length", low=self.min_mean_word_length)
        yield Limit("gopher_long_words", "mean_word_length", high=self.max_mean_word_length)
        yield Limit("gopher_hashes", "hash_ratio", high=self.max_symbol_ratio)
        yield Limit("gopher_ellipses", "ellipsis_ratio", high=self.max_symbol_ratio)
        yield Limit("gopher_bullets", "bullet_line_ratio", high=self.max_bullet_line_ratio)
        yield Limit("gopher_open_lines", "ellipsis_line_ratio", high=self.max_ellipsis_line_ratio)
        yield Limit("gopher_few_letters", "alphabetic_word_ratio", low=self.min_alphabetic_word_ratio)
        yield Limit("gopher_few_stop_words", "num_stop_words", low=self.min_stop_words)
