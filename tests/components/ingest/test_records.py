"""Records from the web and from S3: pinned, fetched, read side by side, withdrawn, refused when they are others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from components.core.collected import read_records
from components.core.errors import ParamsError, SourceError
from components.core.params import parse
from components.ingest import STAGES, CollectConfig, IngestConfig, Withdrawn, require_one_name_each, resolve
from components.ingest.lock import read_lock
from tests.components.ingest.servers import WebServer

TEXT = "".join(f"line {number}\n" for number in range(20)).encode()
DOCUMENTS = {"sources": [{"kind": "documentation", "packages": ["networkx"], "min_characters": 100}]}


def source(paths: list[str], form: str, **values: Any) -> dict[str, Any]:
    return {"name": "r", "application": "translate", "licence": "CC0-1.0", "format": form, "paths": paths, **values}


def collect(one: dict[str, Any], root: Path) -> list[dict[str, Any]]:
    """Pin, fetch and read one source, as the stage does."""
    config, lock, output = parse({"sources": [one]}, CollectConfig, "test"), root / "records.lock.json", root / "output"
    if not lock.exists():
        resolve(config, root).save(lock)
    output.mkdir(exist_ok=True)
    stage = STAGES["collect"]
    stage.fetch(config, sources=lock)
    report = stage.function(config, sources=lock, output=output)
    report.books.check("collect")
    rows: list[dict[str, Any]] = read_records(output, "translate").to_pylist()
    return rows


def test_parallel_texts_on_the_web_become_records_in_the_order_of_their_paths(tmp_path: Path) -> None:
    with WebServer(TEXT) as server:
        paths = [server.address("b.txt"), server.address("a.txt")]
        rows = collect(source(paths, "parallel", columns=["en", "de"], split="train"), tmp_path)
    assert len(rows) == 20
    assert json.loads(rows[3]["text"]) == {"en": "line 3", "de": "line 3"}
    assert (rows[3]["split"], rows[3]["licence"], rows[3]["uri"]) == ("train", "CC0-1.0", "r/b.txt#4")
    assert [pin.name for pin in read_lock(tmp_path / "records.lock.json").sources] == ["r"]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def test_lines_of_json_in_s3_become_records(endpoint: str, tmp_path: Path) -> None:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="records")
    client.put_object(Bucket="records", Key="chat/1.jsonl", Body=b'{"text": "one", "translation": "eins"}\n')
    rows = collect(source(["s3://records/chat/*.jsonl"], "jsonl", s3_endpoint_url=endpoint), tmp_path)
    assert [json.loads(row["text"])["translation"] for row in rows] == ["eins"]


def test_a_file_that_is_another_is_refused_and_what_is_withdrawn_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("en\tde\none\teins\ntwo\tzwei\n")
    one = source(["a.tsv"], "tsv")
    rows = collect(one, tmp_path)
    lock = tmp_path / "records.lock.json"
    gone = Withdrawn(documents=(rows[0]["record_id"],))
    read_lock(lock).model_copy(update={"withdrawn": gone}).save(lock)
    assert [json.loads(row["text"])["en"] for row in collect(one, tmp_path)] == ["two"]
    path.write_text("en\tde\none\tzwei\n")
    with pytest.raises(SourceError, match="sha256"):
        collect(one, tmp_path)


def test_a_withdrawal_changes_only_the_lock_whose_source_or_licence_it_names(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\tb\n")
    config = parse({"sources": [source(["a.txt"], "lines", columns=["x", "y"])]}, CollectConfig, "test")
    lock = resolve(config, tmp_path)
    assert lock.withdrawing(Withdrawn(sources=("networkx",), licences=("MIT",))) == lock
    gone = Withdrawn(sources=("r",), licences=("CC0-1.0",), documents=("a" * 32,), texts=("b" * 64,))
    assert lock.withdrawing(gone).withdrawn == gone


def test_two_sources_of_one_name_are_refused_and_so_are_columns_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\tb\n")
    named = parse(
        {"sources": [{**source(["a.txt"], "lines", columns=["x", "y"]), "name": "networkx"}]}, CollectConfig, "t"
    )
    locks = [resolve(config, tmp_path) for config in (parse(DOCUMENTS, IngestConfig, "test"), named)]
    with pytest.raises(SourceError, match="2 sources of this name"):
        require_one_name_each(locks)
    for values in ({"format": "lines"}, {"format": "parallel", "columns": ["x", "y", "z"]}):
        with pytest.raises(ParamsError):
            parse({"sources": [{**source(["a.txt"], "lines"), **values}]}, CollectConfig, "test")
