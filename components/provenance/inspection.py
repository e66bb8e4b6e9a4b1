"""What a version may consist of, looked at before any library parses it.

In: the folder of a version whose digests are good. Out: nothing, or the first file that is no plain data. In between:
a signature says who made a version and not that it is harmless, so every file must be of a kind that cannot act, be
exactly that kind whatever its name says, and stay within bounds of size, depth and number that are read off first.
Nothing is unpacked, built or run here; a file costs at most one reading.

Covered: kinds of files, JSON (depth, repeated names, numbers that are none), safetensors (every offset and size),
YAML (tags, anchors), tar (links, paths), NumPy (objects), Parquet (its frame), pages (scripts). Not covered: faults
of Arrow's reader of Parquet and of the tokenizers library, which get only files whose frame is sound.
"""

from __future__ import annotations

import json
import math
import re
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from components.core.errors import InputError

_TEXT_BYTES, _HEADER_BYTES, _ARCHIVE_BYTES = 32 << 20, 4 << 20, 64 << 20
_LINE_BYTES = 1 << 20
_MOST_TENSORS, _MOST_MEMBERS, _MOST_VALUES = 20_000, 20_000, 3 << 19
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
               "U16": 2, "U32": 4, "U64": 8}  # fmt: skip
_FIX = "do not use it: take the version from whom you trust, or train it anew with `pedigree run`"


class _Refused(Exception):
    """What was found in a file, and what may be there."""


def inspect(folder: Path) -> None:
    """Look at every file of a version. Raises InputError naming the first that is not plain data within bounds."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            _check_of(path)(path)
        except _Refused as found:
            raise InputError(str(path), found=str(found), expected="plain data within bounds", fix=_FIX) from None
        except (OSError, ValueError, OverflowError, RecursionError, MemoryError, tarfile.TarError) as error:
            found_first = str(error).partition("\n")[0][:200] or type(error).__name__
            raise InputError(str(path), found=found_first, expected=f"a sound {path.suffix} file", fix=_FIX) from None


def _check_of(path: Path) -> Callable[[Path], None]:
    check = _CHECKS.get(path.suffix)
    if check is None:
        known = ", ".join(sorted(_CHECKS))
        raise _Refused(f"a file of a kind that no version holds; there may be {known}")
    return check


def _check_json(path: Path) -> None:
    _parse_json(_read_text(path))


def _check_lines(path: Path) -> None:
    """A value in each line; a history has one for each step, so there may be many, but each is short."""
    with path.open("rb") as file:
        while line := file.readline(_LINE_BYTES + 1):
            if len(line) > _LINE_BYTES:
                raise _Refused(f"a line of more than {_LINE_BYTES:,} bytes")
            _parse_json(line.decode("utf-8"))


def _check_text(path: Path) -> None:
    if "\0" in _read_text(path):
        raise _Refused("a zero byte in a text")


def _check_page(path: Path) -> None:
    """A page of ours allows no script by its own policy; one without that policy, or with a script, is none."""
    text = _read_text(path)
    if "default-src 'none'" not in text[:400] or re.search(r"<\s*(script|iframe|object|embed|base|link)\b", text, re.I):
        raise _Refused("a page that could act")


def _check_yaml(path: Path) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.tokens import AliasToken, AnchorToken, DirectiveToken, TagToken

    text = _read_text(path)
    try:
        for number, token in enumerate(YAML(typ="safe", pure=True).scan(text) if len(text) <= 1 << 20 else ()):
            if isinstance(token, AliasToken | AnchorToken | DirectiveToken | TagToken) or number > 200_000:
                raise _Refused("tags, anchors or directives; values are written out")
    except YAMLError as error:
        raise ValueError(str(error)) from None
    if len(text) > 1 << 20:
        raise _Refused(f"{len(text):,} characters of YAML")


def _check_safetensors(path: Path) -> None:
    """The header against the file (huggingface.co/docs/safetensors, format): no byte unclaimed, none claimed twice."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if length > min(_HEADER_BYTES, size - 8):
            raise _Refused(f"a header of {length:,} bytes in a file of {size:,}")
        header = _parse_json(file.read(length).decode("utf-8"))
    if not isinstance(header, dict) or len(header) > _MOST_TENSORS:
        raise _Refused(f"{len(header):,} tensors; there may be {_MOST_TENSORS:,}")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise _Refused("notes that are no texts")
    _check_offsets(sorted(_places(header)), size - 8 - length)


def _places(header: dict[str, Any]) -> Iterator[tuple[int, int]]:
    for name, tensor in header.items():
        dtype, shape, offsets = _fields(name, tensor)
        if (
            not isinstance(dtype, str)
            or dtype not in _ITEM_BYTES
            or not all(type(n) is int and n >= 0 for n in (*shape, *offsets))
        ):
            raise _Refused(f"tensor {name[:80]!r} of type {str(dtype)[:20]}, shape {str(shape)[:80]}")
        begin, end = offsets
        if len(shape) > 8 or end - begin != math.prod(shape) * _ITEM_BYTES[dtype]:
            raise _Refused(f"tensor {name[:80]!r}: {end - begin:,} bytes for shape {str(shape)[:80]}")
        yield begin, end


def _fields(name: str, tensor: Any) -> tuple[Any, list[Any], list[Any]]:
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        raise _Refused(f"tensor {name[:80]!r} without type, shape and offsets")
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        raise _Refused(f"tensor {name[:80]!r} without shape and offsets")
    return tensor["dtype"], shape, offsets


def _check_offsets(places: list[tuple[int, int]], num_bytes: int) -> None:
    reached = 0
    for begin, end in places:
        if begin != reached:
            raise _Refused(f"tensors that {'overlap' if begin < reached else 'leave a gap'} at byte {begin:,}")
        reached = end
    if reached != num_bytes:
        raise _Refused(f"tensors of {reached:,} bytes in {num_bytes:,}")


def _check_parquet(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(4)
        file.seek(max(0, size - 8))
        footer, end = struct.unpack("<I4s", file.read(8).rjust(8, b"\0"))
    if begin != b"PAR1" or end != b"PAR1" or not 0 < footer <= min(size - 12, _HEADER_BYTES):
        raise _Refused(f"no Parquet file (footer of {footer:,} bytes in {size:,})")


def _check_numpy(path: Path) -> None:
    from numpy.lib import format as numpy_format

    with path.open("rb") as file:
        version = numpy_format.read_magic(file)
        read = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}.get(version)
        if read is None:
            raise _Refused(f"version {version} of the format")
        shape, _, dtype = read(file)
        if dtype.hasobject or file.tell() + math.prod(shape) * np.dtype(dtype).itemsize != path.stat().st_size:
            raise _Refused(f"{dtype} of shape {str(shape)[:80]} in {path.stat().st_size:,} bytes")


def _check_archive(path: Path) -> None:
    """Plain files with plain paths, in a tar that is not compressed, so that nothing can grow."""
    if path.stat().st_size > _ARCHIVE_BYTES:
        raise _Refused(f"{path.stat().st_size:,} bytes")
    with tarfile.open(path, mode="r:") as archive:
        for number, member in enumerate(archive):
            place = PurePosixPath(member.name)
            is_inside = not place.is_absolute() and ".." not in place.parts and "\\" not in member.name
            if not member.isreg() or member.sparse or not is_inside or number >= _MOST_MEMBERS:
                raise _Refused(f"member {member.name[:80]!r}, no plain file inside the archive")


def _read_text(path: Path) -> str:
    if path.stat().st_size > _TEXT_BYTES:
        raise _Refused(f"{path.stat().st_size:,} bytes of text; there may be {_TEXT_BYTES:,}")
    return path.read_bytes().decode("utf-8")


def _parse_json(text: str) -> Any:
    """A JSON value. Raises _Refused for one of too many parts before it is parsed, RecursionError for one too deep."""
    parts = sum(text.count(sign) for sign in ",[{")
    if parts > _MOST_VALUES:
        raise _Refused(f"JSON of about {parts:,} parts; there may be {_MOST_VALUES:,}")
    return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_number)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("a name that stands twice in one JSON object")
    return found


def _no_number(text: str) -> Any:
    raise _Refused(f"{text}, which is no JSON")


_CHECKS: dict[str, Callable[[Path], None]] = {
    ".html": _check_page, ".json": _check_json, ".jsonl": _check_lines, ".lock": _check_text, ".md": _check_text,
    ".npy": _check_numpy, ".parquet": _check_parquet, ".safetensors": _check_safetensors, ".sig": _check_json,
    ".tar": _check_archive, ".yaml": _check_yaml,
}  # fmt: skip
