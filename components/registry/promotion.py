"""Who becomes champion: one comparison, one entry in the ledger, then the alias.

In: a registered version, its scores, the rule. Out: an entry and aliases that say the same. In between: the entry is
the decision; aliases and tags only show it in MLflow's pages. Every call first puts them where the ledger says,
so a crash after any step is healed by the next call, and a promoter who was not first judges again against whoever
was. How fast the version writes is measured with the verdict: of all that is judged it alone stands in no artifact.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from components.core.errors import PedigreeError, RegistryError
from components.core.files import digest_of, write_whole
from components.registry import gate, ledger, runs, speed, versions
from components.registry.comparison import Metric, read_metrics
from components.registry.config import PromoteConfig
from components.registry.contents import Contents
from components.registry.ledger import Draft, Entry, Kind, Ledger, read_ledger
from components.registry.look import VERDICT, Version, alias_of, look, subject_of, with_alias, with_digest
from components.registry.page import draw
from components.registry.store import APPROVAL_VARIABLE, FOLDER, Store, workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MOST_TRIES, _SECONDS_OF_A_TURN = 20, 0.5
_KINDS: dict[gate.Outcome, Kind] = {"promote": "promoted", "keep": "kept", "inconclusive": "inconclusive"}


@dataclass(frozen=True)
class Registry:
    """A registry as one promoter uses it.

    Attributes:
        name: of the model.
        application: whose champion is looked for; empty for that of the model itself.
    """

    client: MlflowClient
    store: Store
    name: str
    application: str = ""

    @property
    def alias(self) -> str:
        """What shows the champion in MLflow's pages."""
        return alias_of(self.application)

    def versions(self) -> list[Version]:
        """All versions of the model, newest first."""
        return self._list(self.name)

    def ledger(self) -> Ledger:
        """The chain of entries. Raises RegistryError where it was tampered with."""
        subject = subject_of(self.name, self.application)
        of_ledger, seen = ledger.ledger_name(subject), memory(self.store, subject)
        return read_ledger(subject, lambda: self._list(of_ledger), seen)

    def _list(self, name: str) -> list[Version]:
        """The quick look where it can tell: MLflow asks once more for each version, and a ledger has many."""
        found = look(self.store, name)
        return versions.list_versions(self.client, name) if found is None else found


@dataclass(frozen=True)
class Candidate:
    """A version that wants to be champion: its digest, its scores, and the rule that it is judged by.

    ``speed`` is how fast it writes, once that was measured.
    """

    digest: str
    metrics: Mapping[str, Metric]
    config: PromoteConfig
    speed: speed.Speed | None = None

    def gate(self, champion: str) -> str:
        """The identity of its comparison with a champion: rule, models, documents."""
        rule = self.config.model_dump(mode="json", exclude={"require_approval", "applications"})
        return digest_of({"rule": rule, "champion": champion, "challenger": self.digest})

    @property
    def evaluation_set(self) -> str:
        """The documents that it was scored on."""
        return gate.evaluation_set(self.metrics, self.config)


def memory(store: Store, name: str) -> Path:
    """Where this workspace remembers the last entry that it saw of a ledger."""
    return workspace() / FOLDER / "seen" / f"{digest_of({'registry': str(store), 'name': name})[:16]}.json"


def promote(registry: Registry, candidate: Candidate) -> Entry:
    """Judge a registered version against the champion and carry the verdict out; returns the entry that says so.

    A comparison that the ledger has is not made again, so a second call only heals. Raises RegistryError for a
    version that is not registered, a champion whose bytes are not what they were, or a ledger that was changed.
    """
    for turn in range(_MOST_TRIES):
        # Who loses leaves a number behind that makes others lose: the more often, the longer each waits, at random.
        time.sleep(SystemRandom().uniform(0, _SECONDS_OF_A_TURN * turn))
        found, known = registry.versions(), registry.ledger()
        version = with_digest(found, candidate.digest)
        if version is None:
            raise not_registered(registry.name, candidate.digest)
        entry = settled(known, candidate)
        if entry is None:
            candidate = _timed(registry, candidate, version)
            draft = _judge(registry, known, candidate, found)
            entry = ledger.append(registry.client, known, draft, version)
        if entry is not None:
            heal(registry)
            return entry
    raise RegistryError(f"ledger of {registry.name}", found=f"somebody else first, {_MOST_TRIES} times",
                        expected="a turn", fix="run again when fewer promote at once")  # fmt: skip


def settled(known: Ledger, candidate: Candidate) -> Entry | None:
    """The entry that already answers for a candidate: it is champion, was judged by this rule, or was rolled back."""
    if known.champion_digest == candidate.digest:
        return known.champion()
    return known.is_rolled_back(candidate.digest) or known.verdict(candidate.gate(known.champion_digest))


def decide(registry: Registry, *, agree: bool) -> Entry:
    """A person's answer to the proposal that waits for one. Raises RegistryError when none does."""
    found, known = registry.versions(), registry.ledger()
    proposal = waiting(known)
    version = with_digest(found, proposal.version) if proposal else None
    if proposal is None or version is None:
        raise RegistryError(f"ledger of {registry.name}", found="no proposal that waits", expected="one to answer",
                            fix="`pedigree promote --require-approval` makes one where the gate agrees")  # fmt: skip
    if agree:
        check(version)
    evidence = {"proposal": proposal.digest, "lines": proposal.evidence.get("lines", [])}
    kind: Kind = "promoted" if agree else "declined"
    draft = Draft(kind, proposal.champion, proposal.version, proposal.gate, proposal.evaluation_set, evidence)
    return _append_or_refuse(registry, known, draft, version)


def waiting(known: Ledger) -> Entry | None:
    """The last proposal to replace the present champion that nobody answered."""
    answers = ("proposed", "promoted", "declined", "rolled back")
    last = next((entry for entry in reversed(known.entries) if entry.kind in answers), None)
    return last if last and last.kind == "proposed" else None


def rollback(registry: Registry, which: str | None = None) -> Entry:
    """Make the champion before, or the version of that number or digest, champion again; its bytes are checked first.

    Raises RegistryError when there is none, or when its files are not what was registered.
    """
    found, known = registry.versions(), registry.ledger()
    earlier = known.previous_champion()
    wanted = which or (earlier.version if earlier else "")
    version = next((v for v in found if wanted and (str(v.number) == wanted or v.digest.startswith(wanted))), None)
    if version is None or version.digest == known.champion_digest:
        raise RegistryError(f"ledger of {registry.name}", found=f"no version to go back to ({wanted or 'none before'})",
                            expected="a version that is registered and not champion",
                            fix="`pedigree status` and MLflow's pages list the versions")  # fmt: skip
    check(version)
    lines = [f"a person put version {version.number} back in the place of {known.champion_digest[:16] or 'nobody'}"]
    draft = Draft("rolled back", known.champion_digest, version.digest, "", "", {"lines": lines})
    return _append_or_refuse(registry, known, draft, version)


def heal(registry: Registry) -> None:
    """Put the aliases and tags where the ledger says."""
    tag = f"{VERDICT}.{registry.application}" if registry.application else VERDICT
    found, known = registry.versions(), registry.ledger()
    named, champion = with_alias(found, registry.alias), with_digest(found, known.champion_digest)
    if named and (champion is None or named.number != champion.number):
        registry.client.delete_registered_model_alias(registry.name, registry.alias)
    if champion:
        versions.point(registry.client, registry.alias, champion)
    for version in found:
        last = known.about(version.digest)
        if last and version.tags.get(tag) != (told := f"{last.kind}, ledger entry {last.number}"):
            registry.client.set_model_version_tag(registry.name, str(version.number), tag, told)


def check(version: Version) -> Contents:
    """The contents of a version, every byte checked. Raises RegistryError."""
    contents = Contents.below(versions.fetch(version, workspace() / FOLDER / "fetched" / version.digest))
    contents.check(version.digest, f"{version.name} version {version.number}")
    return contents


def scores_of(contents: Contents, application: str = "") -> Mapping[str, Metric]:
    """What a version scored on held-out documents, or in an application; nothing where it was not assessed."""
    if not application:
        return read_metrics(contents.evaluation)
    folder = contents.folders.get(f"assessments/{application}")
    return read_metrics(folder) if folder else {}


def not_registered(name: str, digest: str) -> RegistryError:
    """What is told of a version that register did not make."""
    fix = "run `pedigree run`: register puts it there"
    return RegistryError(f"model registry, {name}", found=f"no complete version of digest {digest}",
                         expected="the version that register made", fix=fix)  # fmt: skip


def _timed(registry: Registry, candidate: Candidate, version: Version) -> Candidate:
    """The candidate with the speed of the model itself, from its registered bytes; an application's is no other."""
    from mlflow.exceptions import MlflowException

    if registry.application or candidate.speed:
        return candidate
    found = speed.measure(check(version).model)
    rates = {f"decode/{kind}_tokens_per_second": rate for kind, rate in found.tokens_per_second.items()}
    with suppress(MlflowException):  # a run that was deleted by hand takes no figures
        runs.log_figures(registry.client, version.run_id, rates)
    return replace(candidate, metrics={**candidate.metrics, speed.INT8_TIME: found.metric}, speed=found)


def _judge(registry: Registry, known: Ledger, candidate: Candidate, found: list[Version]) -> Draft:
    """The verdict on a candidate as an entry to write."""
    champion, documents = known.champion_digest, candidate.evaluation_set
    rival = with_digest(found, champion) if champion else None
    if champion and rival is None:
        raise RegistryError(
            f"champion of {known.name}", found=f"no version of digest {champion}", expected="the version in the ledger",
            fix="`pedigree rollback` goes back to the champion before; the gate compares with no unknown",
        )  # fmt: skip
    against = scores_of(check(rival), registry.application) if rival else None
    verdict = gate.judge(candidate.metrics, against, candidate.config, known.looks(documents) + 1)
    kind = _KINDS[verdict.outcome]
    if kind == "promoted" and (candidate.config.require_approval or os.environ.get(APPROVAL_VARIABLE)):
        kind = "proposed"
    names = champion, candidate.digest
    page = draw(verdict, candidate.config, *names, metrics=candidate.metrics, speed=candidate.speed)
    write_whole(page_of(candidate.gate(champion)), page)
    return Draft(kind, champion, candidate.digest, candidate.gate(champion), documents, _evidence(verdict, candidate))


def _evidence(verdict: gate.Verdict, candidate: Candidate) -> dict[str, Any]:
    """All that the verdict rests on."""
    found = {"lines": verdict.lines(), "verdict": verdict.as_json(), "floor": verdict.primary.floor}
    if candidate.speed is None:
        return found
    settings = gate.settings_of(candidate.config, verdict.look)
    lines = [*verdict.lines(), candidate.speed.line(settings)]
    return {**found, "lines": lines, "speed": candidate.speed.as_json(settings)}


def page_of(comparison: str) -> Path:
    """Where the page of a comparison stands in the workspace."""
    return workspace() / FOLDER / "promotions" / f"{comparison[:16]}.html"


def _append_or_refuse(registry: Registry, known: Ledger, draft: Draft, version: Version) -> Entry:
    entry = ledger.append(registry.client, known, draft, version)
    heal(registry)
    if entry is None:
        raise PedigreeError(f"ledger of {registry.name}", found="another entry was written meanwhile",
                            expected="the state that you saw", fix="look again, then decide again")  # fmt: skip
    return entry
