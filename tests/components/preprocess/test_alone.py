"""The step of the seed article works alone: a dump in, one Parquet file of clean documents out."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.worlds import ROOT, SHARED_DATA

DUMP = SHARED_DATA / "wikidump_tune" / "enwiki-pages-articles1-shortened.xml.bz2"


def run(folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "components.preprocess", "--input", str(source), "--output", "clean.parquet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not DUMP.is_file(), reason="the shared data sets are not here (set PEDIGREE_SHARED)")
def test_a_dump_becomes_one_file_of_clean_documents(tmp_path: Path) -> None:
    done = run(tmp_path, DUMP)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["clean.parquet"]
    rows = pq.read_table(tmp_path / "clean.parquet").to_pylist()
    assert len(rows) > 50
    assert any(row["text"].startswith("Anarchism is a political philosophy") for row in rows)


def test_a_source_that_is_not_there_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "none.xml.bz2")
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)
    assert "none.xml.bz2" in done.stderr
    assert list(tmp_path.iterdir()) == []
