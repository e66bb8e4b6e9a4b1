"""`pedigree batch` over real tables, on disk and in S3."""

import json
from contextlib import closing

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from components.core.errors import InputError
from components.serve.batch import BatchOptions
from tests.components.serve.world import FolderSource, make_version, publish, teach

pytestmark = pytest.mark.slow


@pytest.fixture
def access(monkeypatch):
    """What the environment says where S3 is a server on loopback with one bucket, ``tables``."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    access = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
              "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port())}  # fmt: skip
    for name, value in access.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="tables")
    yield access
    server.stop()


def write_table(path, prompts, **options):
    table = pa.table({"id": list(range(len(prompts))), "prompt": pa.array(prompts, pa.string())})
    pq.write_table(table, path, **options)
    return path


def test_every_row_gets_its_text_however_the_table_is_cut(built, prefect_url, tmp_path):
    prompts = ["The mean of", "", "模型 🙂", None, "word " * 500, *["Returns"] * 45]
    read = {}
    for size in (50, 7):
        source, target = write_table(tmp_path / f"{size}.parquet", prompts, row_group_size=size), tmp_path / "out" / "t"
        built.pedigree("batch", str(source), str(target), "--tokens", "12", PREFECT_API_URL=prefect_url)
        read[size] = pq.read_table(target).to_pylist()
    assert read[50] == read[7]
    rows = read[50]
    assert [row["prompt"] for row in rows] == prompts
    assert rows[4]["text"] is None
    assert rows[4]["finish_reason"] == "too_long"
    assert all(row["finish_reason"] in ("stop", "length") for row in rows if row["id"] != 4)
    assert len({row["text"] for row in rows[5:]}) > 40, "equal prompts in other rows have other seeds"
    assert len({row["digest"] for row in rows}) == 1


def test_every_row_is_answered_as_a_request_of_an_application(built, prefect_url, tmp_path):
    texts = ["Return the shortest path between source and target.", None, "模型 🙂", "word " * 500] * 12
    source, read = tmp_path / "in.parquet", {}
    for size in (48, 7):
        pq.write_table(pa.table({"id": list(range(len(texts))), "text": texts}), source, row_group_size=size)
        done = built.pedigree("batch", str(source), str(tmp_path / "out"), "--application", "classify",
                              PREFECT_API_URL=prefect_url)  # fmt: skip
        assert "48 rows, 12 of them without answer" in done.stdout
        read[size] = pq.read_table(tmp_path / "out").to_pylist()
    assert read[48] == read[7]
    for row in read[7]:
        if row["text"] is None:
            assert (row["answer"], row["error"]) == (None, "text: Field required")
        else:
            answer = json.loads(row["answer"])
            assert max(answer["probabilities"], key=answer["probabilities"].get) == answer["label"]
            assert sum(answer["probabilities"].values()) == pytest.approx(1)
            assert (row["error"], row["model"]) == (None, "pedigree-debug@1")


def test_a_table_in_s3_is_read_and_written_there(built, prefect_url, access, tmp_path):
    s3 = boto3.client("s3")
    s3.upload_file(str(write_table(tmp_path / "in.parquet", ["The mean of"])), "tables", "in#1.parquet")
    built.pedigree("batch", "s3://tables/in#1.parquet", "s3://tables/out.parquet", "--tokens", "5",
                   PREFECT_API_URL=prefect_url, **access)  # fmt: skip
    s3.download_file("tables", "out.parquet", str(tmp_path / "out.parquet"))
    assert pq.read_table(tmp_path / "out.parquet").column("completion_tokens").to_pylist() == [5]
    again = built.pedigree("batch", "s3://tables/out.parquet", "s3://tables/again.parquet", check=False,
                           PREFECT_API_URL=prefect_url, **access)  # fmt: skip
    assert (again.returncode, "one column 'text'" in again.stdout) == (4, True), again.stdout
    assert s3.list_objects_v2(Bucket="tables", Prefix="again")["KeyCount"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [(["none.parquet"], 4, "no such file"), (["in.parquet", "--column", "id"], 4, "texts in 'id'"),
     (["in.parquet", "--version", "99"], 8, "no version '99'"),
     (["in.parquet", "--application", "poems"], 4, "one of: answer, classify"),
     (["in.parquet", "--application", "classify"], 4, "a column 'text'"),
     (["answered.parquet", "--application", "classify"], 4, "one column 'answer'"),
     (["garbage.parquet", "--application", "classify"], 4, "a Parquet table that can be read")],
)  # fmt: skip
def test_a_mistake_is_told_and_no_table_is_left(built, prefect_url, tmp_path, arguments, code, told):
    write_table(tmp_path / "in.parquet", ["a"])
    (tmp_path / "garbage.parquet").write_text("no table")
    pq.write_table(pa.table({"text": ["a"], "answer": ["mine"]}), tmp_path / "answered.parquet")
    source, *options = arguments
    target = tmp_path / "out.parquet"
    done = built.pedigree("batch", str(tmp_path / source), str(target), *options, check=False,
                          PREFECT_API_URL=prefect_url)  # fmt: skip
    assert done.returncode == code, done.stdout
    assert told in done.stdout
    assert "Traceback" not in done.stdout
    assert not target.exists()


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A small version that learned to classify: who it is, and its files."""
    folder = tmp_path_factory.mktemp("version")
    make_version(folder, 1)
    teach(folder, 1, {"classify": ["numpy", "scipy"]})
    publish(folder, {1: []})
    (identity,) = FolderSource(folder).list()
    return identity, FolderSource(folder).open(identity)


@pytest.mark.parametrize("application", ["classify", ""])
@pytest.mark.parametrize("name", ["answer", "text", "model", "digest", "prompt"])
def test_a_table_in_which_a_name_would_stand_twice_is_refused_before_a_row_is_read(version, name, application):
    from flows import batch_flow

    identity, opened = version
    if application:
        work, good = batch_flow.Answering(opened, application), ["text", "prompt"]
    else:
        work, good = batch_flow.Continuing(opened, "prompt", BatchOptions()), ["prompt", "answer"]
    with closing(work):
        batch_flow._check(work, schema_of(good), "in.parquet", identity)
        with pytest.raises(InputError, match=f"one column '{name}'"):
            batch_flow._check(work, schema_of([*good, name]), "in.parquet", identity)


def schema_of(names):
    return pa.schema([(name, pa.string()) for name in names])


def test_an_address_of_s3_that_is_none_is_told(access, tmp_path, monkeypatch):
    from flows import batch_flow

    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(InputError, match="localhost:9000"):
        batch_flow._fetched("s3://tables/in.parquet", tmp_path / "in.parquet")
    with pytest.raises(InputError, match="localhost:9000"):
        batch_flow._deliver(write_table(tmp_path / "done.parquet", ["a"]), "s3://tables/out.parquet")


@pytest.mark.parametrize("source", ["s3://nowhere/in.parquet", "s3://tables/none.parquet", "s3://tables", "s3://"])
def test_what_is_not_in_s3_is_told(access, tmp_path, source):
    from flows import batch_flow

    with pytest.raises(InputError, match="can be read"):
        batch_flow._fetched(source, tmp_path / "in.parquet")
    assert not list(tmp_path.iterdir())


def test_a_place_that_takes_no_table_is_told_and_nothing_of_it_is_left(access, tmp_path):
    from flows import batch_flow

    done = write_table(tmp_path / "done.parquet", ["a"])
    (tmp_path / "folder").mkdir()
    for target in ("s3://nowhere/out.parquet", str(tmp_path / "folder"), str(done / "out.parquet")):
        with pytest.raises(InputError, match="can be written"):
            batch_flow._deliver(done, target)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["done.parquet", "folder"]


def test_a_damaged_row_group_is_told(tmp_path):
    from flows import batch_flow

    source = write_table(tmp_path / "in.parquet", ["a", "b"])
    damaged = bytearray(source.read_bytes())
    damaged[4:40] = bytes(36)
    source.write_bytes(damaged)
    with pytest.raises(InputError, match="can be read"):
        list(batch_flow._groups(pq.ParquetFile(source), str(source)))
