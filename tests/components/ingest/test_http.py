"""Files on the web: real transfers from a server that cuts, stalls, refuses and lies."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import SourceError
from components.core.params import parse
from components.ingest import STAGE, IngestConfig, check_pins, difference, ingest, read_lock, resolve, transfer
from components.ingest.cache import FOLDER
from tests.components.ingest.servers import WebServer, busy, cut, html, lie, other_range, stall
from tests.worlds import ROOT

TEXT = "".join(f"Line {number} of a corpus that lies on the web.\n" for number in range(40_000)).encode()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.5)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer(TEXT) as running:
        yield running


def config(*addresses: str) -> IngestConfig:
    source = {"kind": "files", "name": "web", "paths": list(addresses), "licence": "CC0-1.0"}
    return parse({"sources": [source]}, IngestConfig, "test")


def pin(server: WebServer, root: Path, name: str = "a.txt") -> dict[str, Any]:
    lock = resolve(config(server.address(name)), root)
    lock.save(root / "sources.lock.json")
    return lock.model_dump()["sources"][0]["files"][0]


def cached(root: Path) -> list[str]:
    return sorted(path.name for path in (root / FOLDER).rglob("*") if path.is_file())


def texts(root: Path, wanted: IngestConfig) -> float:
    """Fetch what is missing and ingest, as the stage does; the bytes of text that were read."""
    lock, output = root / "sources.lock.json", root / "output"
    output.mkdir(exist_ok=True)
    STAGE.fetch(wanted, sources=lock)
    return ingest(wanted, sources=lock, output=output).metrics["text_bytes"]


def test_a_file_is_pinned_with_size_etag_and_digest_and_read_from_the_cache(server: WebServer, tmp_path: Path) -> None:
    found = pin(server, tmp_path)
    sha256 = hashlib.sha256(TEXT).hexdigest()
    assert found == {"path": server.address("a.txt"), "name": "a.txt", "bytes": len(TEXT), "sha256": sha256,
                     "etag": server.etag}  # fmt: skip
    assert cached(tmp_path) == [sha256]
    check_pins(tmp_path / "sources.lock.json")
    assert texts(tmp_path, config(server.address("a.txt"))) == len(TEXT)
    assert len(server.requests) == 1


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("has_etag", [True, False])
def test_what_cuts_stalls_and_refuses_is_asked_again(tmp_path: Path, has_ranges: bool, has_etag: bool) -> None:
    with WebServer(TEXT, has_ranges=has_ranges, has_etag=has_etag) as server:
        server.faults = [busy, cut(1000), stall, cut(len(TEXT) - 1), lie(len(TEXT) + 10), other_range][
            : 6 if has_etag else 4
        ]
        assert pin(server, tmp_path)["sha256"] == hashlib.sha256(TEXT).hexdigest()
        if has_ranges and has_etag:
            assert server.sent_bytes == len(TEXT)
            assert any("If-Range" in request for request in server.requests)
    assert cached(tmp_path) == [hashlib.sha256(TEXT).hexdigest()]


def test_a_server_that_never_answers_well_is_given_up_with_the_reason(server: WebServer, tmp_path: Path) -> None:
    server.faults = [busy] * 20
    with pytest.raises(SourceError, match=r"status 503, 6 times in a row"):
        pin(server, tmp_path)
    server.faults = [lambda handler: handler.head(404, 0)]
    with pytest.raises(SourceError, match=r"(?s)status 404.*mend the address"):
        pin(server, tmp_path)
    with pytest.raises(SourceError, match="times in a row"):
        resolve(config("http://127.0.0.1:9/a.txt"), tmp_path)


def test_html_and_other_things_instead_of_data_are_refused(server: WebServer, tmp_path: Path) -> None:
    server.faults = [html]
    with pytest.raises(SourceError, match="a page of HTML"):
        pin(server, tmp_path)
    for name in ("a.jsonl.gz", "a.parquet", "a.zip", "dump.xml.bz2"):
        with pytest.raises(SourceError, match="a file that begins with b'L"):
            pin(server, tmp_path, name)
    with pytest.raises(SourceError, match="no known format"):
        pin(server, tmp_path, "a.exe")


def test_a_length_that_is_too_small_gives_other_bytes_than_the_pin_and_is_refused(
    server: WebServer, tmp_path: Path
) -> None:
    pin(server, tmp_path)
    next((tmp_path / FOLDER).glob("??/*")).unlink()
    server.faults = [lie(1000)]
    with pytest.raises(SourceError, match=r"(?s)1,000 bytes, sha256 .*pedigree refresh"):
        STAGE.fetch(config(server.address("a.txt")), sources=tmp_path / "sources.lock.json")
    assert cached(tmp_path) == []


def test_refreshing_asks_only_whether_it_changed_and_shows_what_did(server: WebServer, tmp_path: Path) -> None:
    pin(server, tmp_path)
    old = read_lock(tmp_path / "sources.lock.json")
    wanted = config(server.address("a.txt"))
    assert resolve(wanted, tmp_path, old) == old
    assert server.sent_bytes == len(TEXT)
    server.content = TEXT + b"one more line\n"
    (line,) = difference(old, resolve(wanted, tmp_path, old))
    assert line.startswith(f"~ web/a.txt: {len(TEXT):,} bytes, CC0-1.0, sha256 ")
    assert f"-> {len(TEXT) + 14:,} bytes" in line
    assert 'ETag "' in line


def test_a_pinned_file_that_is_missing_is_fetched_and_a_changed_one_refused(server: WebServer, tmp_path: Path) -> None:
    pin(server, tmp_path)
    wanted = config(server.address("a.txt"))
    next((tmp_path / FOLDER).glob("??/*")).unlink()
    assert texts(tmp_path, wanted) == len(TEXT)
    next((tmp_path / FOLDER).glob("??/*")).unlink()
    server.content = TEXT.replace(b"corpus", b"carpus")
    with pytest.raises(SourceError, match=r"(?s)sha256 [0-9a-f]{64}.*sha256 [0-9a-f]{64}.*pedigree refresh"):
        texts(tmp_path, wanted)


def test_a_damaged_file_in_the_cache_is_never_parsed(server: WebServer, tmp_path: Path) -> None:
    pin(server, tmp_path)
    path = next((tmp_path / FOLDER).glob("??/*"))
    path.write_bytes(TEXT[:-1] + b"!")
    with pytest.raises(SourceError, match=r"(?s)sha256.*remove .*and run again"):
        texts(tmp_path, config(server.address("a.txt")))


def test_a_version_that_changes_during_a_transfer_is_begun_anew(server: WebServer, tmp_path: Path) -> None:
    def cut_and_change(handler: Any) -> None:
        handler.answer(cut=len(TEXT) // 2)
        server.content = bytes(reversed(TEXT))

    server.faults = [cut_and_change]
    assert pin(server, tmp_path)["sha256"] == hashlib.sha256(bytes(reversed(TEXT))).hexdigest()


RESOLVE = """
import sys
from pathlib import Path
from components.core.params import parse
from components.ingest import IngestConfig, resolve
source = {"kind": "files", "name": "web", "paths": [sys.argv[1]], "licence": "CC0-1.0"}
root = Path(sys.argv[2])
resolve(parse({"sources": [source]}, IngestConfig, "test"), root).save(root / "sources.lock.json")
"""


@pytest.mark.slow
def test_a_transfer_that_is_killed_at_any_moment_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3 << 20)

    def slowly(handler: Any) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        handler.head(
            206 if start else 200, len(content) - start, {"Content-Range": f"bytes {start}-{len(content) - 1}/*"}
        )
        for at in range(start, len(content), 1 << 16):
            handler.wfile.write(content[at : at + (1 << 16)])
            time.sleep(0.03)

    with WebServer(content) as server:
        server.faults = [slowly] * 100
        command = [sys.executable, "-c", RESOLVE, server.address("a.txt"), str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for arrived_bytes in (1, 1 << 20, 2 << 20):
            process = subprocess.Popen(command, env=environment)
            while sum(path.stat().st_size for path in (tmp_path / FOLDER).rglob("*") if path.is_file()) < arrived_bytes:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not (tmp_path / "sources.lock.json").exists()
        subprocess.run(command, env=environment, check=True)
        assert cached(tmp_path) == [hashlib.sha256(content).hexdigest()]
        assert any("If-Range" in request for request in server.requests)
