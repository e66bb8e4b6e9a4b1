"""Tokens to text, piece by piece, so that the pieces joined are the text.

In: the tokens of one text as they come. Out: pieces that can be shown at once. In between: a character whose bytes
are not all there waits, and so does what may turn out to be the beginning of a stop string. Bytes that are no
character show as U+FFFD, as when the whole is decoded at once.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from components.tokenizer.codec import Codec


class TextReader:
    """The text of one answer.

    Attributes:
        is_stopped: whether a stop string was met; the text ends before it.
    """

    def __init__(self, codec: Codec, stops: Sequence[str] = ()) -> None:
        self._codec, self._stops = codec, stops
        self._bytes = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.is_stopped = False

    def add(self, token: int) -> str:
        """What can be shown after one more token."""
        return self._release(self._bytes.decode(self._codec.decode_bytes([token])), is_last=False)

    def end(self) -> str:
        """What is left to show when no token follows."""
        return "" if self.is_stopped else self._release(self._bytes.decode(b"", final=True), is_last=True)

    def _release(self, new: str, *, is_last: bool) -> str:
        text = self._held + new
        # Of several, the one that is complete first, so that it does not matter how tokens cut the text.
        places = [(place + len(stop), place) for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.is_stopped, self._held = True, ""
            return text[: min(places)[1]]
        keep = 0 if is_last else max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """The longest end of ``text`` that is a beginning of ``stop``."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(stop[:n])), 0)
