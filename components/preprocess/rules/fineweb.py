"""Lists and scraps instead of prose: FineWeb's own rules (Penedo et al. 2024, arXiv:2406.17557, section 3.6).

In: ``components.preprocess.measures``. Out: limits. In between: blank lines do not count as lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from components.core.stage import Config
from components.preprocess.rules.limits import Limit


class FineWeb(Config):
    """Thresholds of section 3.6; null switches a single rule off."""

    enabled: bool
    min_terminal_line_ratio: float | None = Field(ge=0, description="lines that end in a terminal mark")
    max_short_line_ratio: float | None = Field(ge=0)
    short_line_characters: int = Field(ge=0, description="the most that a short line has")
    max_repeated_character_ratio: float | None = Field(ge=0, description="characters in repeated lines")
    max_line_break_ratio: float | None = Field(ge=0, description="line breaks per word")

    def limits(self) -> Iterator[Limit]:
        """The limits in datatrove's order."""
        yield Limit("fineweb_unfinished_lines", "terminal_line_ratio", low=self.min_terminal_line_ratio)
        yield Limit("fineweb_short_lines", "short_line_ratio", high=self.max_short_line_ratio)
        yield Limit("fineweb_repeated_lines", "repeated_character_ratio", high=self.max_repeated_character_ratio)
        yield Limit("fineweb_list", "line_break_ratio", high=self.max_line_break_ratio)
