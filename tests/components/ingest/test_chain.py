"""The recipe for Wikipedia from a web server: pinned, fetched again after a cut, cleaned behind the walls."""

import json
import shutil
from pathlib import Path

import pytest

from components.core import params
from components.core.documents import read_row_groups
from tests.components.ingest.servers import WebServer, cut
from tests.worlds import ROOT, SHARED_DATA, make_workspace

DUMP = SHARED_DATA / "wikidump_tune" / "enwiki-pages-articles1-shortened.xml.bz2"


@pytest.mark.slow
@pytest.mark.skipif(not DUMP.is_file(), reason="the shared data sets are not here (set PEDIGREE_SHARED)")
def test_the_recipe_for_wikipedia_runs_from_an_address_whose_server_cuts_the_dump(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace")
    values = params.load(ROOT / "infra" / "recipes" / "wikipedia.yaml")
    values["validate"]["documents"]["min_documents"] = 100  # this dump is a small one
    with WebServer(DUMP.read_bytes()) as server:
        values["ingest"]["sources"][0]["paths"] = [server.address("enwiki-pages-articles.xml.bz2")]
        (workspace.root / "params.yaml").write_text(json.dumps(values))
        shown = workspace.pedigree("refresh", "--yes").stdout
        assert "+ wikipedia/enwiki-pages-articles.xml.bz2: 1,695,871 bytes, CC-BY-SA-4.0, sha256 " in shown
        shutil.rmtree(workspace.root / ".pedigree" / "sources")
        server.faults, server.sent_bytes = [cut(500_000)], 0
        workspace.dvc("repro", "preprocess")
        assert server.requests[-1]["Range"] == "bytes=500000-"
        assert server.sent_bytes == len(server.content)
        assert sum(table.num_rows for table in read_row_groups(workspace.root / "data" / "ingest")) == 106
        corpus = [row for table in read_row_groups(workspace.root / "data" / "preprocess") for row in table.to_pylist()]
        report = json.loads((workspace.root / "data" / "preprocess" / "report.json").read_text())
        assert len(corpus) + sum(report["dropped"].values()) == 106
        assert {row["language"] for row in corpus} == {"en"}
        num_requests = len(server.requests)
        assert "ingest" not in workspace.dvc("status", "ingest").stdout.replace("fingerprints/ingest", "")
        assert len(server.requests) == num_requests
        server.content += b"changed"
        told = workspace.pedigree("refresh").stdout
        assert "~ wikipedia/enwiki-pages-articles.xml.bz2: 1,695,871 bytes" in told
        assert "Nothing was pinned" in told
