"""Every failure that a user can cause or mend, as one family.

    PedigreeError          exit code 1: something of ours that has no narrower name
    ├── ParamsError        2: params.yaml holds a value that it must not
    ├── GateError          3: a check was run and did not pass
    ├── InputError         4: an artifact is missing, damaged or not what its record says
    │   └── SourceError    4: a source is missing or is not what was pinned
    ├── WorkspaceError     5: this folder cannot be driven now (held, full, not a project)
    ├── SandboxError       6: a stage touched what it had not declared
    ├── StageError         7: a stage broke its contract (books, outputs, undeclared code)
    ├── RegistryError      8: the model registry is out of reach or contradicts itself
    └── Interrupted        9: the work was asked to stop; run again, it goes on where it had come to

A message says where, what was found, what was expected and what to do. It never carries a traceback:
whoever catches a PedigreeError at the top prints it and leaves with its exit code.
"""

from __future__ import annotations

from typing import Any


class PedigreeError(Exception):
    """Where it happened, what was found, what was expected, what to do about it."""

    exit_code = 1

    def __init__(self, where: str, *, found: str, expected: str, fix: str) -> None:
        super().__init__(where, found, expected, fix)
        self.where, self.found, self.expected, self.fix = where, found, expected, fix

    def __reduce__(self) -> tuple[Any, ...]:
        return _raised_elsewhere, (type(self), self.where, self.found, self.expected, self.fix)

    def __str__(self) -> str:
        return f"{self.where}\n  found:    {self.found}\n  expected: {self.expected}\n  to do:    {self.fix}"


class ParamsError(PedigreeError):
    """params.yaml holds a value, a type or a key that it must not."""

    exit_code = 2


class GateError(PedigreeError):
    """A check was run on data, tokens or a model and did not pass."""

    exit_code = 3


class InputError(PedigreeError):
    """An artifact is missing, damaged or not what its record says."""

    exit_code = 4


class SourceError(InputError):
    """A source is missing or is not what its lock pinned."""


class WorkspaceError(PedigreeError):
    """This folder cannot be driven now: another driver holds it, the disk is full, it is no project."""

    exit_code = 5


class SandboxError(PedigreeError):
    """A stage read or wrote what it had not declared."""

    exit_code = 6


class StageError(PedigreeError):
    """A stage broke its contract: unbalanced books, missing outputs, code outside its fingerprint."""

    exit_code = 7


class RegistryError(PedigreeError):
    """The model registry is out of reach or contradicts itself."""

    exit_code = 8


class Interrupted(PedigreeError):
    """The work was asked to stop (SIGTERM or SIGINT) and can go on where it had come to."""

    exit_code = 9


def _raised_elsewhere(kind: type[PedigreeError], where: str, found: str, expected: str, fix: str) -> PedigreeError:
    """An error that comes from a worker process; only positions travel, its fields have names."""
    return kind(where, found=found, expected=expected, fix=fix)
