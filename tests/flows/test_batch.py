"""`pedigree batch` over real tables, on disk and in S3."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow


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


def test_a_table_in_s3_is_read_and_written_there(built, prefect_url, tmp_path):
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        access = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", aws_access_key_id="test",
                          aws_secret_access_key="test", region_name="us-east-1")  # fmt: skip
        s3.create_bucket(Bucket="tables")
        s3.upload_file(str(write_table(tmp_path / "in.parquet", ["The mean of"])), "tables", "in.parquet")
        built.pedigree("batch", "s3://tables/in.parquet", "s3://tables/out.parquet", "--tokens", "5",
                       PREFECT_API_URL=prefect_url, AWS_ENDPOINT_URL=f"http://{host}:{port}", **access)  # fmt: skip
        s3.download_file("tables", "out.parquet", str(tmp_path / "out.parquet"))
    finally:
        server.stop()
    assert pq.read_table(tmp_path / "out.parquet").column("completion_tokens").to_pylist() == [5]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [(["none.parquet"], 4, "no such file"), (["in.parquet", "--column", "id"], 4, "texts in 'id'"),
     (["in.parquet", "--version", "99"], 8, "no version '99'"),
     (["in.parquet", "--application", "poems"], 4, "one of: answer, classify"),
     (["in.parquet", "--application", "classify"], 4, "a column 'text'")],
)  # fmt: skip
def test_a_mistake_is_told_and_no_table_is_left(built, prefect_url, tmp_path, arguments, code, told):
    write_table(tmp_path / "in.parquet", ["a"])
    source, *options = arguments
    target = tmp_path / "out.parquet"
    done = built.pedigree("batch", str(tmp_path / source), str(target), *options, check=False,
                          PREFECT_API_URL=prefect_url)  # fmt: skip
    assert done.returncode == code, done.stdout
    assert told in done.stdout
    assert not target.exists()
