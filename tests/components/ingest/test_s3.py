"""Objects of a real S3 server on loopback: globs, ranges, versions that change, refusals."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from components.core.errors import SourceError
from components.core.params import parse
from components.ingest import STAGE, IngestConfig, ingest, resolve, s3, transfer
from components.ingest.cache import FOLDER
from tests.components.ingest.servers import CuttingProxy


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def client(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(transfer, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(s3, "PART_BYTES", 1 << 16)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="corpus")
    yield client
    for entry in client.list_objects_v2(Bucket="corpus").get("Contents", ()):
        client.delete_object(Bucket="corpus", Key=entry["Key"])


def config(endpoint: str, *paths: str, **values: Any) -> IngestConfig:
    source = {"kind": "files", "name": "s3", "paths": list(paths), "licence": "CC0-1.0", "s3_endpoint_url": endpoint}
    return parse({"sources": [{**source, **values}]}, IngestConfig, "test")


def files(wanted: IngestConfig, root: Path) -> list[dict[str, Any]]:
    lock = resolve(wanted, root)
    lock.save(root / "sources.lock.json")
    return list(lock.model_dump()["sources"][0]["files"])


def test_a_glob_names_objects_over_several_pages_and_they_become_documents(
    client: Any, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        client.put_object(Bucket="corpus", Key=f"texts/{number % 2}/{number}.txt", Body=b"text %d" % number)
    client.put_object(Bucket="corpus", Key="texts/0/", Body=b"")
    client.put_object(Bucket="corpus", Key="other/9.txt", Body=b"not wanted")
    paginate = s3.BaseClient.get_paginator

    def small_pages(self: Any, name: str) -> Any:
        paginator = paginate(self, name)
        whole = paginator.paginate
        paginator.paginate = lambda **values: whole(**values, PaginationConfig={"PageSize": 2})
        return paginator

    monkeypatch.setattr(s3.BaseClient, "get_paginator", small_pages)
    found = files(config(endpoint, "s3://corpus/texts/**/*.txt"), tmp_path)
    assert [file["name"] for file in found] == [
        "0/0.txt",
        "0/2.txt",
        "0/4.txt",
        "0/6.txt",
        "1/1.txt",
        "1/3.txt",
        "1/5.txt",
    ]
    (tmp_path / "output").mkdir()
    wanted = config(endpoint, "s3://corpus/texts/**/*.txt")
    assert ingest(wanted, sources=tmp_path / "sources.lock.json", output=tmp_path / "output").metrics["documents"] == 7


@pytest.mark.parametrize("is_anonymous", [True, False])
def test_a_large_object_arrives_in_ranges_and_again_when_the_cache_lost_it(
    client: Any, endpoint: str, tmp_path: Path, is_anonymous: bool
) -> None:
    content = random.Random(2).randbytes(3 << 20).hex().encode()
    upload = client.create_multipart_upload(Bucket="corpus", Key="big.txt")["UploadId"]
    target = {"Bucket": "corpus", "Key": "big.txt", "UploadId": upload}
    pieces = [content[: 5 << 20], content[5 << 20 :]]
    parts = [{"PartNumber": n, "ETag": client.upload_part(**target, PartNumber=n, Body=piece)["ETag"]}
             for n, piece in enumerate(pieces, start=1)]  # fmt: skip
    client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    wanted = config(endpoint, "s3://corpus/big.txt", s3_anonymous=is_anonymous)
    (file,) = files(wanted, tmp_path)
    assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert file["etag"].endswith('-2"')
    path = next((tmp_path / FOLDER).glob("??/*"))
    path.unlink()
    STAGE.fetch(wanted, sources=tmp_path / "sources.lock.json")
    assert path.read_bytes() == content


def test_bodies_that_are_cut_are_asked_for_again(client: Any, endpoint: str, tmp_path: Path) -> None:
    content = b"0123456789" * 50_000
    client.put_object(Bucket="corpus", Key="a.txt", Body=content)
    with CuttingProxy(endpoint, num_cuts=9, num_bytes=20_000) as proxy:
        (file,) = files(config(proxy.address, "s3://corpus/a.txt"), tmp_path)
    assert proxy.cuts_left == 0
    assert file["sha256"] == hashlib.sha256(content).hexdigest()


def test_an_object_that_changes_between_two_ranges_is_refused(
    client: Any, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put_object(Bucket="corpus", Key="a.txt", Body=b"a" * 500_000)
    whole, calls = s3._open_range, []

    def change(*arguments: Any) -> Iterator[bytes]:
        calls.append(arguments)
        if len(calls) == 3:
            client.put_object(Bucket="corpus", Key="a.txt", Body=b"b" * 500_000)
        yield from whole(*arguments)

    monkeypatch.setattr(s3, "_PARTS_AT_ONCE", 1)
    monkeypatch.setattr(s3, "_open_range", change)
    with pytest.raises(SourceError, match="another version than a moment ago"):
        files(config(endpoint, "s3://corpus/a.txt"), tmp_path)


def test_what_is_not_there_or_refused_is_told(client: Any, endpoint: str, tmp_path: Path) -> None:
    for path in ("s3://corpus/none.txt", "s3://nobody/a.txt", "s3://nobody/*.txt"):
        with pytest.raises(SourceError, match="an object that may be read"):
            files(config(endpoint, path), tmp_path)
    with pytest.raises(SourceError, match=r"no file at s3://corpus/none/\*\.txt"):
        files(config(endpoint, "s3://corpus/none/*.txt"), tmp_path)


def test_an_address_of_a_server_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(SourceError, match=r"localhost:9000(.|\n)*AWS_ENDPOINT_URL"):
        files(config("", "s3://corpus/a.txt", s3_endpoint_url=None), tmp_path)


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("a/*.txt", ["a/b.txt"], ["a/b/c.txt", "a/b.txt.gz"]),
        ("a/**/*.txt", ["a/b.txt", "a/b/c/d.txt"], ["b/a/x.txt"]),
        ("a/**", ["a/b", "a/b/c"], ["b"]),
        ("a/?[0-9].txt", ["a/x1.txt"], ["a/xx.txt", "a//1.txt"]),
    ],
)
def test_globs_over_keys_mean_what_they_mean_on_a_disk(pattern: str, names: list[str], others: list[str]) -> None:
    matches = s3.translate_glob(pattern)
    assert all(matches.fullmatch(name) for name in names)
    assert not any(matches.fullmatch(name) for name in others)
