"""The cache does not lie: every planted change is answered truly (``make honesty`` prints the table)."""

from pathlib import Path

import pytest

from tests.conftest import build_once
from tests.honesty import Case, ask, cases, make_honest
from tests.worlds import Workspace

CASES = list(cases())
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def honest(session_folder: Path) -> Workspace:
    """The workspace that every change is planted in a copy of."""
    return Workspace(build_once(session_folder / "honest", make_honest))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.change.name)
def test_a_planted_change_is_answered_truly(case: Case, honest: Workspace) -> None:
    assert ask(honest, case.change, case.ours) == case.change.expected


def test_there_are_as_many_planted_changes_as_promised() -> None:
    assert len({case.change.name for case in CASES}) == len(CASES) >= 40
