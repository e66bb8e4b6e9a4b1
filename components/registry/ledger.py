"""The ledger: who was made champion when, from what, on which evidence; and the fence that lets one promoter win.

In: entries as they happen. Out: an append-only chain of signed entries, and what it says of any moment.
In between: an entry is a version of the registered model ``NAME-ledger``, because making a version is the only thing
that MLflow counts without a race: each gets a number of its own, in one transaction with its tags. A promoter writes
down the number that it expects, the one it saw plus one. Where it got another number it lost, and its entry says so
to every reader for ever: an entry whose own number is not its version's is not part of the chain. So no two
promoters win on one state of the registry, and no lock can be left behind.

Each entry names the digest of the one before and is signed (Ed25519); a hole, an edit, an unknown signer and a tail
that was cut off (this workspace remembers the last entry that it saw) are refused. The alias ``champion`` only shows
in MLflow's pages what the ledger says.

Not covered: the clock of whoever signs, and a ledger that was cut off before this workspace ever saw it.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from components.core import keys
from components.core.errors import RegistryError
from components.core.files import canonical_json, read_json, sha256_bytes, write_json
from components.registry.look import Version

if TYPE_CHECKING:
    from mlflow import MlflowClient

Kind = Literal["promoted", "kept", "inconclusive", "proposed", "declined", "rolled back"]
ENTRY, SIGNATURE, SIGNER = "pedigree.entry", "pedigree.signature", "pedigree.signer"
_CHANGES: tuple[Kind, ...] = ("promoted", "rolled back")
_MOST_CHARACTERS = 5000


class Entry(BaseModel):
    """One line of the ledger. ``number`` counts from one; ``previous`` is the digest of the entry before, or ''.

    ``champion`` is the digest of the champion before ('' for none), ``version`` that of whom it is about;
    ``gate`` identifies the comparison (rule, both models), ``evaluation_set`` the documents that were looked at.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    name: str
    number: int
    previous: str
    kind: Kind
    who: str
    when: str
    champion: str
    version: str
    gate: str
    evaluation_set: str
    evidence: dict[str, Any]

    @property
    def digest(self) -> str:
        """What the next entry calls it."""
        return sha256_bytes(self.to_bytes())

    @property
    def moment(self) -> datetime:
        """When it was written, by the clock of whoever wrote it."""
        return datetime.fromisoformat(self.when)

    def to_bytes(self) -> bytes:
        """What is signed."""
        return canonical_json(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Draft:
    """An entry before its place in the chain is known; see ``Entry``."""

    kind: Kind
    champion: str
    version: str
    gate: str
    evaluation_set: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Ledger:
    """The chain as a reader saw it; ``height`` is the last number that was given away, to an entry or a loser."""

    name: str
    entries: tuple[Entry, ...]
    height: int

    def champion(self, at: datetime | None = None) -> Entry | None:
        """The entry that made the champion of now, or of the moment ``at``; None while there was none."""
        changes = [e for e in self.entries if e.kind in _CHANGES and (at is None or e.moment <= at)]
        return changes[-1] if changes else None

    @property
    def champion_digest(self) -> str:
        """The digest of the champion, '' while there is none."""
        found = self.champion()
        return found.version if found else ""

    def looks(self, evaluation_set: str) -> int:
        """How many comparisons, with a champion or with a floor, have looked at these documents."""
        found = [e for e in self.entries if e.evaluation_set == evaluation_set and e.gate]
        return len({entry.gate for entry in found if entry.champion or entry.evidence.get("floor")})

    def verdict(self, gate: str) -> Entry | None:
        """The last entry about a comparison."""
        return next((entry for entry in reversed(self.entries) if entry.gate == gate), None)

    def about(self, digest: str) -> Entry | None:
        """The last entry about a version."""
        return next((entry for entry in reversed(self.entries) if entry.version == digest), None)

    def is_rolled_back(self, digest: str) -> Entry | None:
        """The entry that took the place from a version and has not been answered since by a person, or None."""
        for entry in reversed(self.entries):
            if entry.kind in _CHANGES and entry.version == digest:
                return None
            if entry.kind == "rolled back" and entry.champion == digest:
                return entry
        return None

    def previous_champion(self) -> Entry | None:
        """The entry that made the last champion before the present one, other than it."""
        now = self.champion_digest
        return next((e for e in reversed(self.entries) if e.kind in _CHANGES and e.version != now), None)


def ledger_name(name: str) -> str:
    """The registered model whose versions are the ledger of the model ``name``."""
    return f"{name}-ledger"


def read_ledger(name: str, read: Callable[[], Iterable[Version]], memory: Path) -> Ledger:
    """The chain in the versions of ``ledger_name(name)``. Raises RegistryError naming the first entry that is wrong.

    ``memory`` is the file in which this workspace remembers the last entry that it saw; it is read before the
    registry is, so that an entry that comes in between is never missed.
    """
    seen = read_json(memory) if memory.exists() else None
    believed, entries = keys.believed_keys(), list[Entry]()
    in_order = sorted(read(), key=lambda version: version.number)
    for expected, version in enumerate(in_order, start=1):
        if version.number != expected:
            raise _refuse(name, expected, "no such entry", "every entry that was ever written")
        entry = _read_entry(name, version, believed)
        if entry.number == version.number:
            _check_link(name, entry, entries)
            entries.append(entry)
    _check_tail(name, entries, seen, memory)
    return Ledger(name, tuple(entries), len(in_order))


def append(client: MlflowClient, ledger: Ledger, draft: Draft, source: Version) -> Entry | None:
    """Write an entry after the ones that ``ledger`` holds; None where somebody else was first.

    ``source`` is the version that MLflow's page of the entry leads to.
    """
    from mlflow.exceptions import MlflowException

    entry = _finish(ledger, draft)
    key = keys.load_key()
    tags = {ENTRY: entry.to_bytes().decode(), SIGNATURE: base64.b64encode(keys.sign(key, entry.to_bytes())).decode(),
            SIGNER: keys.key_id(key.public_key())}  # fmt: skip
    _make_model(client, ledger.name)
    try:
        made = client.create_model_version(
            ledger_name(ledger.name), f"models:/{source.name}/{source.number}", source.run_id or None, tags=tags,
            description=describe(entry)[:_MOST_CHARACTERS],
        )  # fmt: skip
    except MlflowException as error:
        if "Giving up after" in str(error):
            return None
        raise
    return entry if int(made.version) == entry.number else None


def describe(entry: Entry) -> str:
    """An entry in words, as MLflow's page shows it."""
    head = f"{entry.kind}: {entry.version[:16]}, the champion before was {entry.champion[:16] or 'nobody'}"
    return "\n\n".join([head, *entry.evidence.get("lines", []), f"{entry.when}, {entry.who}"])


def _finish(ledger: Ledger, draft: Draft) -> Entry:
    previous = ledger.entries[-1].digest if ledger.entries else ""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    values = {**vars(draft), "evidence": json.loads(json.dumps(dict(draft.evidence)))}
    return Entry(name=ledger.name, number=ledger.height + 1, previous=previous, who=_who(), when=now, **values)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _make_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    if not client.search_registered_models(f"name='{ledger_name(name)}'", max_results=1):
        text = f"Who was made champion of {name} when, and why: one version per entry, append-only and signed."
        with suppress(MlflowException):  # somebody else was faster
            client.create_registered_model(ledger_name(name), description=text)


def _read_entry(name: str, version: Version, believed: Mapping[str, keys.PublicKey]) -> Entry:
    content = version.tags.get(ENTRY, "").encode()
    key = believed.get(version.tags.get(SIGNER, ""))
    if key is None:
        found = f"the signer {version.tags.get(SIGNER, 'nobody')[:16]}"
        raise _refuse(name, version.number, found, "a signer that is believed",
                      f"put the signer's public key (NAME.pub.pem) into {keys.folder()}")  # fmt: skip
    with suppress(ValueError, ValidationError):
        if keys.is_signed(key, base64.b64decode(version.tags.get(SIGNATURE, ""), validate=True), content):
            entry = Entry.model_validate_json(content)
            if entry.name == name and entry.to_bytes() == content:
                return entry
    raise _refuse(name, version.number, "an entry that was changed", "an entry as it was signed")


def _check_link(name: str, entry: Entry, before: list[Entry]) -> None:
    expected = before[-1].digest if before else ""
    if entry.previous != expected:
        raise _refuse(name, entry.number, f"an entry after {entry.previous[:16]}", f"one after {expected[:16]}")


def _check_tail(name: str, entries: list[Entry], seen: Any, memory: Path) -> None:
    """Check that the last entry that was seen here is still there, then remember the present last one."""
    if seen and seen["digest"] not in [entry.digest for entry in entries]:
        fix = f"restore the registry; if it was emptied on purpose, remove {memory}"
        raise _refuse(name, seen["number"], "another entry, or none", f"the one that was seen before: {seen}", fix)
    if entries and (not seen or seen["number"] < entries[-1].number):
        write_json(memory, {"number": entries[-1].number, "digest": entries[-1].digest})


def _refuse(name: str, number: int, found: str, expected: str, fix: str = "") -> RegistryError:
    advice = "restore the registry's database from its backup: nobody is promoted on a ledger that was tampered with"
    return RegistryError(f"ledger of {name}, entry {number}", found=found, expected=expected, fix=fix or advice)
