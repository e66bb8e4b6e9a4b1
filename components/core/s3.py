"""The one door to S3, Amazon's or any other server that speaks it.

In: what the environment says of servers, keys and regions, where boto3 always looks for it. Out: clients, and what they
refuse, as an error of whoever asked. In between: boto3 is imported when somebody asks: it takes a fifth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.core.errors import PedigreeError

SCHEME = "s3://"


def open_client(kind: type[PedigreeError], **options: Any) -> Any:
    """A client with these options beside what the environment says. Raises ``kind`` where that cannot be."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        return session.client("s3", region_name=session.region_name or "us-east-1", **options)
    except (BotoCoreError, ValueError) as error:
        raise kind(
            "access to S3", found=_one_line(error),
            expected="an address such as http://127.0.0.1:9000, a profile and a region that there are",
            fix="look at AWS_ENDPOINT_URL, the other AWS_… variables, MLFLOW_S3_ENDPOINT_URL and `s3_endpoint_url`",
        ) from None  # fmt: skip


@contextmanager
def explained(kind: type[PedigreeError], where: str, *, expected: str, fix: str) -> Iterator[None]:
    """Raises ``kind`` for what S3 or its client refuses inside the block."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise kind(where, found=_one_line(error), expected=expected, fix=fix) from None


def split_address(address: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``."""
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    return bucket, key


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
