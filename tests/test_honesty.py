"""The cache does not lie: every planted change is answered truly (``make honesty`` prints the table)."""

from pathlib import Path

import pytest

from tests.honesty import ask_all


@pytest.mark.slow
def test_every_planted_change_is_answered_truly(tmp_path: Path) -> None:
    rows = list(ask_all(tmp_path, beside_plain=False))
    assert len(rows) >= 40
    assert {row.change.name: row.ours for row in rows if row.ours != row.change.expected} == {}
