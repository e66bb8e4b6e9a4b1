"""The cache does not lie: every planted change is answered truly (``make honesty`` prints the table)."""

from pathlib import Path

import pytest

from tests.conftest import build_once
from tests.honesty import (
    ASSISTANT,
    CHECKS,
    COLLECT,
    ONE_RECORD_MORE,
    PINNED_ANEW,
    PREPARE,
    REGISTRY,
    Case,
    ask,
    cases,
    make_honest,
    without_walls,
)
from tests.worlds import Workspace, clone_workspace

CASES = list(cases())
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def honest(session_folder: Path) -> Workspace:
    """The workspace that every change is planted in a copy of."""
    return Workspace(build_once(session_folder / "honest", make_honest))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.change.name)
def test_a_planted_change_is_answered_truly(case: Case, honest: Workspace) -> None:
    assert ask(honest, case.change, case.ours) == case.change.expected


def test_records_that_changed_train_no_base_model_again(honest: Workspace, tmp_path: Path) -> None:
    workspace = clone_workspace(honest, tmp_path / "workspace")
    ONE_RECORD_MORE(workspace)
    PINNED_ANEW(workspace)
    told = dict(line.split(maxsplit=1) for line in workspace.pedigree("plan").stdout.splitlines() if line[:2] == "  ")
    examined = {name for name in CHECKS if name.startswith("check@")}
    assert set(told) == COLLECT | PREPARE | examined | ASSISTANT | REGISTRY
    assert told["collect"] == "records.lock.json changed"


def test_there_are_as_many_planted_changes_as_promised() -> None:
    assert len({case.change.name for case in CASES}) == len(CASES) >= 40


def test_the_walls_can_be_taken_away_for_the_column_beside_ours(honest: Workspace, tmp_path: Path) -> None:
    without_walls(clone_workspace(honest, tmp_path / "plain"))
