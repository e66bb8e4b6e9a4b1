"""Boilerplate: C4's rules (Raffel et al. 2020, arXiv:1910.10683, section 2.2), which also leave out single lines.

In: texts. Out: limits, and what the kernel must look for. In between: a line goes when it is too short, holds a word
too long or speaks of scripts and policies; a text goes for placeholder text, a curly bracket, or too few sentences.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.core.stage import Config
from components.preprocess.rules.limits import Verdicts

# The first condemns the whole text, the others their line. In lower case; ASCII.
PHRASES = (
    "lorem ipsum", "javascript", "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
    "use cookies",
)  # fmt: skip
# What stands for the number of sentences of a text that is condemned at once.
LOREM_IPSUM, CURLY_BRACKET = -1, -2


class C4(Config):
    """Thresholds of section 2.2."""

    enabled: bool
    min_sentences: int = Field(ge=0, description="in the lines that are kept")
    min_line_words: int = Field(ge=0)
    max_word_length: int = Field(ge=1, description="characters; a line with a longer word goes")
    require_terminal_mark: bool = Field(description="leave out lines that do not end in . ? ! or a quotation mark")
    ban_curly_brackets: bool

    def judge(self, verdicts: Verdicts, sentences: NDArray[np.int64]) -> None:
        """Drop the texts that have too few sentences, or of which ``keep_lines`` says worse."""
        for row in np.flatnonzero(sentences < self.min_sentences):
            verdicts.drop(int(row), *self._tell(int(sentences[row])))

    def _tell(self, sentences: int) -> tuple[str, str]:
        if sentences == LOREM_IPSUM:
            return "c4_lorem_ipsum", "lorem ipsum 1, at most 0"
        if sentences == CURLY_BRACKET:
            return "c4_curly_bracket", "curly brackets 1, at most 0"
        return "c4_few_sentences", f"num_sentences {sentences}, at least {self.min_sentences}"
