"""What a version is made of: a trained model, its tokenizer, its evaluation, models fine-tuned from it and theirs.

In: finished artifacts, in the workspace or in a version. Out: their digest, and the check of every byte.
In between: the digest of a version is the digest of their records, and each record holds the digest of every file; a
signed statement beside them speaks of all that, so a version is checked before any of it is parsed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import InputError, RegistryError
from components.core.files import digest_of, list_files, sha256_file
from components.core.keys import believed_keys
from components.core.records import RECORD, Record, artifact_digest, artifacts_of, read_record
from components.provenance.place import PARTS


@dataclass(frozen=True)
class Contents:
    """The folders of the artifacts.

    Attributes:
        finetuned: holds a folder for each model that was made from ``model``.
        assessments: holds a folder for each application that those were scored in.
    """

    model: Path
    tokenizer: Path
    evaluation: Path
    finetuned: Path
    assessments: Path

    @classmethod
    def below(cls, folder: Path) -> Contents:
        """The contents of a version's files in ``folder``."""
        return cls(*(folder / part for part in PARTS))

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each artifact by the name of its part, such as ``model`` or ``finetuned/assistant``."""
        parts = {part: getattr(self, part) for part in PARTS}
        return artifacts_of({part: path for part, path in parts.items() if path.exists()})

    @property
    def digest(self) -> str:
        """The identity of the version."""
        return digest_of({part: artifact_digest(folder) for part, folder in self.folders.items()})

    @property
    def records(self) -> dict[str, Record]:
        """The record of each part."""
        return {part: read_record(folder) for part, folder in self.folders.items()}

    @property
    def params(self) -> dict[str, Any]:
        """The values that the parts were made with, flat, the name of the stage before each."""
        # MLflow wants no @ in a name.
        named = [(record.stage.replace("@", "/"), record.params) for record in self.records.values()]
        return {key: value for stage, params in named for key, value in flatten(params, stage).items()}

    def check(self, digest: str, where: str) -> None:
        """Check every byte of a version against ``digest`` and what a believed key signed of it.

        Raises RegistryError naming the first file that differs.
        """
        from components.provenance.verify import verify_version

        try:
            verify_version(self.model.parent, believed_keys(), digest)
        except InputError as error:
            raise RegistryError(f"{where}, {error.where}", found=error.found, expected=error.expected,
                                fix=error.fix) from None  # fmt: skip

    def share_with(self, folder: Path) -> None:
        """Let a complete version in ``folder`` share the bytes of these files."""
        for part, record in self.records.items():
            for name in (RECORD, *record.files):
                _link(self.folders[part] / name, folder / part / name)

    def is_present_in(self, folder: Path) -> bool:
        """Whether every file stands in ``folder`` with its size; quick, so the bytes are not read."""
        for part, record in self.records.items():
            sizes = {name: entry.bytes for name, entry in record.files.items()}
            sizes[RECORD] = (self.folders[part] / RECORD).stat().st_size
            if any(_size(folder / part / name) != size for name, size in sizes.items()):
                return False
        return True


def share_equal(source: Path, target: Path) -> None:
    """Let files of ``target`` share the bytes of those of the same name and content in ``source``."""
    for path in list_files(source) if target.is_dir() else ():
        original, twin = source / path, target / path
        is_copy = _size(twin) == _size(original) and not twin.samefile(original)
        if is_copy and sha256_file(twin) == sha256_file(original):
            _link(original, twin)


def _link(source: Path, target: Path) -> None:
    """Put a hard link to ``source`` in the place of its copy ``target``; on another disk the copy stays."""
    if target.samefile(source):
        return
    scratch = target.with_name(f".{target.name}.link")
    scratch.unlink(missing_ok=True)
    with suppress(OSError):
        scratch.hardlink_to(source)
        scratch.replace(target)


def flatten(value: Any, prefix: str) -> dict[str, Any]:
    """Nested mappings as one with dotted keys: ``{"a": {"b": 1}}`` under ``p`` becomes ``{"p.a.b": 1}``."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {key: leaf for name, inner in value.items() for key, leaf in flatten(inner, f"{prefix}.{name}").items()}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
