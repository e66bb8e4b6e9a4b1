"""Pieces of work for tests of workers, importable by name."""

import os
import time
from pathlib import Path

from components.core.errors import InputError


def multiply(factor: int, number: int) -> tuple[int, int]:
    """The product, and who made it; later pieces are done sooner."""
    time.sleep(0.02 * (number % 3))
    return factor * number, os.getpid()


def refuse(_shared: object, number: int) -> int:
    """Raises InputError for the piece 4."""
    if number == 4:
        raise InputError("piece 4", found="four", expected="another number", fix="count on")
    return number


def end(_shared: object, number: int) -> int:
    """Ends the process that does the piece 4, as a lack of memory would."""
    if number == 4:
        os.kill(os.getpid(), 9)
    return number


def read(path: Path, _number: int) -> str:
    """The text of a file."""
    return path.read_text()


def sleep(seconds: float, number: int) -> int:
    """Be busy for a while."""
    time.sleep(seconds)
    return number
