"""What boto3 refuses is told as an error of ours, whatever the environment says."""

import pytest

from components.core import s3
from components.core.errors import InputError, RegistryError

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Sets AWS_… variables beside keys; nothing of the user's own counts."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    return monkeypatch.setenv


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_ENDPOINT_URL", "localhost:9000"), ("AWS_ENDPOINT_URL", "http://"), ("AWS_ENDPOINT_URL_S3", "http://[::1"),
     ("AWS_PROFILE", "nobody"), ("AWS_DEFAULT_REGION", "no where"), ("AWS_MAX_ATTEMPTS", "many")],
)  # fmt: skip
def test_an_environment_that_leads_nowhere_is_told_with_what_to_look_at(environment, name, value):
    environment(name, value)
    with pytest.raises(RegistryError, match="look at AWS_ENDPOINT_URL") as caught:
        s3.open_client(RegistryError)
    assert "\n" not in caught.value.found


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "http://127.0.0.1:99999", NOWHERE])
def test_what_s3_refuses_is_told_in_the_words_of_who_asked(environment, address):
    environment("AWS_ENDPOINT_URL", address)
    environment("AWS_MAX_ATTEMPTS", "1")
    client = s3.open_client(InputError)
    with pytest.raises(InputError, match=f"(?s)a place.*{address}.*an object.*a way"), asked("a place"):
        client.head_object(Bucket="bucket", Key="key")
    with pytest.raises(InputError, match=r"(?s)a place.*Bucket"), asked("a place"):
        client.head_object(Bucket="", Key="key")


def asked(where):
    return s3.explained(InputError, where, expected="an object", fix="a way")
