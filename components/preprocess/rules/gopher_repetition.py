"""Too much of a text repeats itself: Gopher's repetition rules (Rae et al. 2021, arXiv:2112.11446, table A1).

In: ``components.preprocess.measures``. Out: limits. In between: shares are of the text's characters
unless they are called ratios of lines or paragraphs; the order is that in which datatrove asks.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from components.core.stage import Config
from components.preprocess.rules.limits import Limit


class GopherRepetition(Config):
    """Thresholds of table A1; null switches a single rule off."""

    enabled: bool
    max_duplicate_paragraph_ratio: float | None = Field(ge=0)
    max_duplicate_paragraph_character_ratio: float | None = Field(ge=0)
    max_duplicate_line_ratio: float | None = Field(ge=0)
    max_duplicate_line_character_ratio: float | None = Field(ge=0)
    max_top_ngram_ratios: list[float | None] = Field(min_length=3, max_length=3, description="2- to 4-grams")
    max_duplicate_ngram_ratios: list[float | None] = Field(min_length=6, max_length=6, description="5- to 10-grams")

    def limits(self) -> Iterator[Limit]:
        """The limits in datatrove's order."""
        for name in ("paragraph", "paragraph_character", "line", "line_character"):
            high = getattr(self, f"max_duplicate_{name}_ratio")
            yield Limit(f"gopher_duplicate_{name}s", f"duplicate_{name}_ratio", high=high)
        for size, high in enumerate(self.max_top_ngram_ratios, start=2):
            yield Limit(f"gopher_top_{size}_gram", f"top_{size}_gram_ratio", high=high)
        for size, high in enumerate(self.max_duplicate_ngram_ratios, start=5):
            yield Limit(f"gopher_duplicate_{size}_grams", f"duplicate_{size}_gram_ratio", high=high)
