"""A dump on a web server through both commands: pinned by refresh, fetched again and read behind the walls."""

import json
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from components.core.documents import read_row_groups
from tests.components.ingest.servers import WebServer, cut
from tests.worlds import SHARED_DATA, make_workspace

DUMP = SHARED_DATA / "wikidump_tune" / "enwiki-pages-articles1-shortened.xml.bz2"


@pytest.mark.slow
@pytest.mark.skipif(not DUMP.is_file(), reason="the shared data sets are not here (set PEDIGREE_SHARED)")
def test_a_pinned_dump_is_fetched_by_dvc_repro_when_the_cache_lost_it(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace")
    params = YAML(typ="safe").load((workspace.root / "params.yaml").read_text())
    with WebServer(DUMP.read_bytes()) as server:
        address = server.address("enwiki-pages-articles.xml.bz2")
        source = {"kind": "files", "name": "wikipedia", "paths": [address], "licence": "CC-BY-SA-4.0", "language": "en"}
        params["ingest"]["sources"] = [source]
        (workspace.root / "params.yaml").write_text(json.dumps(params))
        shown = workspace.pedigree("refresh", "--yes").stdout
        assert "+ wikipedia/enwiki-pages-articles.xml.bz2: 1,695,871 bytes, CC-BY-SA-4.0, sha256 " in shown
        shutil.rmtree(workspace.root / ".pedigree" / "sources")
        server.faults = [cut(500_000)]
        workspace.dvc("repro", "ingest")
        texts = [
            text for table in read_row_groups(workspace.root / "data" / "ingest") for text in table["text"].to_pylist()
        ]
        assert len(texts) == 106
        num_requests = len(server.requests)
        assert "ingest" not in workspace.dvc("status", "ingest").stdout.replace("fingerprints/ingest", "")
        assert len(server.requests) == num_requests
        server.content += b"changed"
        told = workspace.pedigree("refresh").stdout
        assert "~ wikipedia/enwiki-pages-articles.xml.bz2: 1,695,871 bytes" in told
        assert "Nothing was pinned" in told
