"""Files too large to hash for one question: each page is checked when it is first touched.

In: rows of one fixed size. Out: a file of rows and, beside it, ``.pages`` with the SHA-256 of every 64 KiB. In
between: whoever knows the digest of the pages file can trust every row that is handed out; a search over a million
rows reads, and checks, about twenty pages.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.errors import InputError
from components.core.files import sha256_bytes, write_whole

PAGE_BYTES = 1 << 16
_DIGEST_BYTES = 32


def write_rows(path: Path, rows: npt.NDArray[Any]) -> str:
    """Write rows and the digests of their pages; returns the digest that stands for both."""
    data = rows.tobytes()
    digests = b"".join(hashlib.sha256(data[at : at + PAGE_BYTES]).digest() for at in range(0, len(data), PAGE_BYTES))
    write_whole(path, data)
    write_whole(_pages_of(path), digests)
    return sha256_bytes(digests)


class PagedRows:
    """Rows of a file, memory-mapped; ``digest`` is what ``write_rows`` returned. Raises InputError where it differs."""

    def __init__(self, path: Path, dtype: npt.DTypeLike, digest: str) -> None:
        self._path, self._dtype = path, np.dtype(dtype)
        try:
            self._digests = _pages_of(path).read_bytes()
            self._data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        except OSError as error:
            raise self._refuse(str(error.strerror), "the index of a training") from None
        num_pages = -(-len(self._data) // PAGE_BYTES)
        if sha256_bytes(self._digests) != digest or len(self._digests) != num_pages * _DIGEST_BYTES:
            raise self._refuse("other digests of its pages", f"those of digest {digest}")
        self._checked: set[int] = set()

    def __len__(self) -> int:
        return len(self._data) // self._dtype.itemsize

    def __getitem__(self, position: int) -> Any:
        """One row, its pages checked."""
        begin = position * self._dtype.itemsize
        end = begin + self._dtype.itemsize
        for page in range(begin // PAGE_BYTES, (end - 1) // PAGE_BYTES + 1):
            self._check(page)
        return self._data[begin:end].view(self._dtype)[0]

    def _check(self, page: int) -> None:
        if page in self._checked:
            return
        found = hashlib.sha256(self._data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES].tobytes()).digest()
        if found != self._digests[page * _DIGEST_BYTES : (page + 1) * _DIGEST_BYTES]:
            raise self._refuse(f"page {page} of sha256 {found.hex()}", "the page that was written")
        self._checked.add(page)

    def _refuse(self, found: str, expected: str) -> InputError:
        fix = "remove that folder and run `pedigree run register`: the index is made again"
        return InputError(str(self._path), found=found, expected=expected, fix=fix)


def _pages_of(path: Path) -> Path:
    return path.with_name(path.name + ".pages")
