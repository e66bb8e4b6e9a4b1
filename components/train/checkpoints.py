"""Checkpoints: everything that a run needs to go on as if it had never been stopped.

In: the state of a step, the history so far. Out: folders below the attempt's own, and from them the same again.
In between: a checkpoint has its name only when it is whole and on the disk, and the name holds the digest of its
manifest, which holds the digest of every other file; so nothing is parsed before it is known to be what was written.
One that is damaged, or of other work, is refused, told and set aside, and the one before it is used: since a step
depends on its number alone, that costs the time of an interval and changes no bit.

    step-00000040-0123456789abcdef/   after step 40; then the digest of manifest.json, its first 16 characters
        state.safetensors             every variable of model, optimizer and random numbers, by name
        history.jsonl                 an entry for each step
        manifest.json                 the numbers of class Manifest
"""

from __future__ import annotations

import errno
import re
import sys
import time
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save, save_file

from components.core.attempts import differences
from components.core.errors import GateError, InputError, WorkspaceError
from components.core.files import canonical_json, list_files, remove, sha256_bytes, sha256_file, sync, sync_folder
from components.core.stage import Attempt
from components.train.backends import Devices, TrainStep
from components.train.history import Entry, best_validation_loss, from_lines, to_lines

STATE, HISTORY, MANIFEST = "state.safetensors", "history.jsonl", "manifest.json"
REFUSED = "refused"
_SAVING = ".saving"
_DIGEST_CHARACTERS = 16
_MOST_RECENT = 2
# Saving may take this share of the time at most, however large the model: then checkpoints become rarer.
_MOST_SHARE_OF_TIME = 0.05
State = dict[str, npt.NDArray[np.generic]]


class Manifest(BaseModel):
    """What a checkpoint is: of which work, after how many steps, which is also where in the data it is, and the SHA-256
    of its files."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    identity: dict[str, Any]
    step: int
    best_validation_loss: float | None
    files: dict[str, str]


class Checkpoints:
    """The checkpoints of one piece of work."""

    def __init__(self, attempt: Attempt, *, interval_seconds: float, devices: Devices | None = None) -> None:
        self._devices = devices or Devices()
        self._folder, self._identity = attempt.folder, dict(attempt.identity)
        self._interval_seconds = interval_seconds
        self._saved_at, self._save_seconds, self._saved_step = time.monotonic(), 0.0, 0

    def resume(self, step: TrainStep) -> list[Entry]:
        """Put ``step`` where the newest sound checkpoint of any process had come to; returns the history so far."""
        remove(self._folder / _SAVING)
        held = self._newest_sound(step.state)
        mine = _pack(*held) if held else b""
        if not (found := self._devices.newest(len(held[1]) if held else 0, mine)):
            return []
        state, history = _unpack(found)
        step.restore(state)
        _tell(f"goes on after step {len(history)}")
        self._saved_step = len(held[1]) if held else 0
        return history

    def agree(self, *, is_asked_to_stop: bool) -> tuple[bool, bool]:
        """Whether to save now, and whether to stop: what one process must do, all do at the same step."""
        must_save, must_stop = self._devices.any_of(self._is_due(), is_asked_to_stop)
        return must_save or must_stop, must_stop

    def _is_due(self) -> bool:
        interval = self._interval_seconds
        if interval:
            interval = max(interval, self._save_seconds / _MOST_SHARE_OF_TIME)
        return time.monotonic() - self._saved_at >= interval

    def _newest_sound(self, expected: State) -> tuple[State, list[Entry]] | None:
        for path in reversed(self._paths()):
            try:
                _, state, history = read(path, self._identity)
                _check_names(path, state, expected)
            except InputError as error:
                self._set_aside(path, error)
            else:
                return state, history
        return None

    def save(self, step: TrainStep, history: list[Entry]) -> None:
        """Write a checkpoint. Raises GateError for a state that is not finite, WorkspaceError when the disk is full."""
        if self._saved_step == len(history):
            return
        begin, state = time.monotonic(), step.state
        _check_finite(state, len(history))
        try:
            write(self._folder, self._identity, state, history)
        except OSError as error:
            remove(self._folder / _SAVING)
            raise self._disk_fault(error, len(history)) from None
        self._saved_step = len(history)
        self._forget_old()
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - begin

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))

    def _forget_old(self) -> None:
        """Keep the most recent checkpoints and the one of the lowest validation loss."""
        losses = {path: _best_loss_of(path) for path in self._paths()}
        best = min(losses, key=losses.__getitem__)  # of equal ones the first: the one saved next after it was measured
        for path in list(losses)[:-_MOST_RECENT]:
            if path != best or losses[path] == inf:
                remove(path)

    def _set_aside(self, path: Path, error: InputError) -> None:
        place = self._folder / REFUSED / path.name
        remove(place)
        place.parent.mkdir(exist_ok=True)
        path.replace(place)
        _tell(f"checkpoint {path.name} is refused, the one before it is used: {error.found}; set aside in {REFUSED}")

    def _disk_fault(self, error: OSError, step: int) -> WorkspaceError:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        kept = f"the checkpoint after step {self._saved_step} is whole" if self._saved_step else "none was saved before"
        return WorkspaceError(
            f"train, checkpoint after step {step}",
            found="no space left on the disk" if is_full else str(error),
            expected=f"room for a checkpoint in {self._folder}",
            fix=f"free some space and run again: it goes on from there ({kept})",
        )


def write(folder: Path, identity: Mapping[str, Any], state: State, history: list[Entry]) -> Path:
    """Write one checkpoint below ``folder``, whole or not at all; returns its path. Raises OSError."""
    scratch = folder / _SAVING
    remove(scratch)
    scratch.mkdir()
    _save_state(scratch / STATE, state)
    (scratch / HISTORY).write_bytes(to_lines(history))
    best = best_validation_loss(history)
    manifest = Manifest(
        identity=dict(identity), step=len(history),
        best_validation_loss=best if best < inf else None,
        files={name: sha256_file(scratch / name) for name in (STATE, HISTORY)},
    )  # fmt: skip
    told = canonical_json(manifest.model_dump(mode="json"))
    (scratch / MANIFEST).write_bytes(told)
    sync_folder(scratch)
    final = folder / f"step-{len(history):08d}-{sha256_bytes(told)[:_DIGEST_CHARACTERS]}"
    remove(final)
    scratch.replace(final)
    sync(folder)
    return final


def read(path: Path, identity: Mapping[str, Any]) -> tuple[Manifest, State, list[Entry]]:
    """A checkpoint, every byte checked before it is parsed. Raises InputError when it is not sound or not ours."""
    manifest = _read_manifest(path)
    if found := differences(manifest.identity, dict(identity)):
        raise _refuse(path, f"of other work ({'; '.join(found)})")
    if odd := sorted(set(list_files(path)) ^ {*manifest.files, MANIFEST}):
        raise _refuse(path, f"{odd[0]} is missing or extra")
    for name, digest in manifest.files.items():
        if sha256_file(path / name) != digest:
            raise _refuse(path, f"{name} is not what was written")
    try:
        state, history = load_file(path / STATE), from_lines((path / HISTORY).read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        raise _refuse(path, f"no state that can be read ({error})") from None
    if len(history) != manifest.step:
        raise _refuse(path, f"a history of {len(history)} steps, said to be {manifest.step}")
    return manifest, state, history


def _pack(state: State, history: list[Entry]) -> bytes:
    """A checkpoint's contents as one piece that another process can be sent."""
    return bytes(save({**state, HISTORY: np.frombuffer(to_lines(history), np.uint8)}))


def _unpack(data: bytes) -> tuple[State, list[Entry]]:
    state = load(data)
    return state, from_lines(state.pop(HISTORY).tobytes())


def _save_state(path: Path, state: State) -> None:
    try:
        save_file(dict(state), path)
    except SafetensorError as error:
        # The library tells a fault of the disk in words alone: "... (os error 28)".
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from None


def _read_manifest(path: Path) -> Manifest:
    try:
        data = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise _refuse(path, f"no manifest ({error.strerror})") from None
    if sha256_bytes(data)[:_DIGEST_CHARACTERS] != path.name.rpartition("-")[2]:
        raise _refuse(path, f"{MANIFEST} is not what was written")
    try:
        return Manifest.model_validate_json(data)
    except ValidationError:
        raise _refuse(path, f"{MANIFEST} is no manifest") from None


def _best_loss_of(path: Path) -> float:
    try:
        loss = _read_manifest(path).best_validation_loss
    except InputError:
        loss = None
    return inf if loss is None else loss


def _check_names(path: Path, found: State, expected: State) -> None:
    for name in sorted(found.keys() | expected.keys()):
        told, wanted = (_describe(arrays.get(name)) for arrays in (found, expected))
        if told != wanted:
            raise _refuse(path, f"{name} is {told} instead of {wanted}")


def _describe(array: npt.NDArray[np.generic] | None) -> str:
    return "missing" if array is None else f"{array.dtype} {array.shape}"


def _check_finite(state: State, step: int) -> None:
    for name, array in state.items():
        if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            raise GateError(
                f"train, step {step}",
                found=f"{name} with numbers that are not finite",
                expected="finite numbers",
                fix="lower train.learning_rate or raise train.warmup_steps in params.yaml",
            )


def _refuse(path: Path, found: str) -> InputError:
    return InputError(str(path), found=found, expected="a checkpoint of this work, as it was written", fix="remove it")


def _tell(line: str) -> None:
    print(f"train: {line}", file=sys.stderr, flush=True)
