"""`pedigree promote`, `champion` and `rollback`: who answers for the model's name, why, and who did before.

In: a chain that is up to date, or a person's decision. Out: the verdict in six lines, and the alias `champion` where
the ledger says so. In between: the stages `register` and `promote` of the graph judge, through DVC like every stage;
what a person decides goes straight to the ledger.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import PedigreeError, RegistryError
from components.core.files import read_json
from components.core.lock import hold_workspace
from flows.generate import model_name
from flows.plan import make_plan
from flows.run import run

if TYPE_CHECKING:
    from components.registry.ledger import Entry

_OWN = ("register", "promote")
_REGISTRATION = Path("data/register/version.json")


def promote(*, require_approval: bool) -> int:
    """Register and judge, then tell why; returns 0. Raises PedigreeError when the model is not built yet."""
    from components.registry.store import APPROVAL_VARIABLE

    if require_approval:
        os.environ[APPROVAL_VARIABLE] = "1"
    with hold_workspace("pedigree promote"):
        plan = make_plan(_OWN)
        if behind := [name for name in plan.to_run if name not in (*_OWN, "fingerprint")]:
            fix = "`pedigree run` builds it, and promotes it where it is better"
            raise PedigreeError("the workspace", found=f"{behind[0]} is to do first", expected="a model", fix=fix)
        code = run(["promote"])
    return code or _explain() or (_ask() if require_approval else 0)


def decide(*, agree: bool, application: str = "") -> int:
    """A person's answer to the proposal that waits for one; returns 0. Raises RegistryError when none does.

    With an ``application``, here and below, of the champion that it has of its own.
    """
    from components.registry import decide as answer
    from flows.approval import release

    _tell(answer(model_name(), agree=agree, application=application))
    if not application:
        release(agree=agree)
    return 0


def show_champion(at: str | None, application: str = "") -> int:
    """Who is champion, or was at a moment; returns 0. Raises PedigreeError."""
    from components.registry import list_versions, read_ledger_quickly

    name, moment = model_name(), _moment(at) if at else None
    entry = read_ledger_quickly(name, application).champion(moment)
    if entry is None:
        told = f"{name}, {application}," if application else name
        print(f"{told} had no champion then" if at else f"{told} has no champion yet")
        return 0
    numbers = [str(v.number) for v in list_versions(name) if v.digest == entry.version]
    print(f"{name} version {' and '.join(numbers) or '(deleted)'}, {entry.version}")
    _tell(entry)
    return 0


def roll_back(which: str | None, application: str = "") -> int:
    """Make the champion before, or another version, champion again; returns 0. Raises RegistryError."""
    from components.registry import rollback

    _tell(rollback(model_name(), which, application))
    return 0


def _explain() -> int:
    """The verdict on the newest model in six lines, and where its page is; returns 0."""
    from components.registry import find_version, read_ledger_quickly
    from components.registry.promotion import page_of

    known, version = read_ledger_quickly(model_name()), find_version(model_name(), read_json(_REGISTRATION)["digest"])
    entry = known.about(version.digest)
    if entry is not None:
        _tell(entry)
        page = page_of(entry.gate)
        if entry.gate and page.exists():
            print(f"  page: {page}")
    return 0


def _tell(entry: Entry) -> None:
    print(f"{entry.kind}: {entry.version[:16]} (ledger entry {entry.number}, {entry.when}, {entry.who})")
    for line in entry.evidence.get("lines", []):
        print(f"  {line}")


def _ask() -> int:
    """Wait for a person where a proposal waits: at this terminal, or on Prefect's pages. Returns 0."""
    from components.registry import read_ledger_quickly
    from components.registry.promotion import waiting

    proposal = waiting(read_ledger_quickly(model_name()))
    if proposal is None:
        return 0
    if sys.stdin.isatty():
        return decide(agree=input("Promote? [y/N] ").strip().lower() == "y")
    from flows.approval import ask

    agree = ask(proposal.evidence.get("lines", []))
    if waiting(read_ledger_quickly(model_name())) != proposal:
        return _explain()  # somebody was faster, on the command line
    return decide(agree=agree)


def _moment(text: str) -> datetime:
    """A date is its last moment; a time without a zone is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RegistryError("--at", found=text, expected="a date, or a date and a time, as ISO 8601 writes them",
                            fix="such as 2026-11-24 or 2026-11-24T18:30") from None  # fmt: skip
    if len(text) <= len("2026-11-24"):
        found = found.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
