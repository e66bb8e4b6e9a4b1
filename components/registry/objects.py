"""The files of versions in S3: each content once, named by its SHA-256.

In: the parts of a version. Out: objects ``ROOT/objects/SHA256``. In between: the record of a part names the digest of
each of its files, so the record is the reference, and a version in S3 holds records where one on a disk holds files.
What two versions share lies there once, and is sent once. Nothing is believed of what comes back: whoever loads a
version checks every byte against what was signed.

Not covered: MLflow's own serving of such a version, which would find the records alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from components.core.errors import RegistryError
from components.core.files import sha256_file
from components.core.records import RECORD, read_record

if TYPE_CHECKING:
    from components.registry.contents import Contents

SCHEME = "s3://"


def send(root: str, contents: Contents) -> None:
    """Send what is not there yet. Raises RegistryError."""
    s3 = _client()
    for path, bucket, key in _places(root, contents):
        if not _is_there(s3, bucket, key, path.stat().st_size):
            _ask(root, lambda path=path, bucket=bucket, key=key: s3.upload_file(str(path), bucket, key))


def bring(root: str, contents: Contents) -> None:
    """Bring every file that the records name and that is not here. Raises RegistryError."""
    s3 = _client()
    for path, bucket, key in _places(root, contents):
        if not path.exists() or sha256_file(path) != key.rpartition("/")[2]:
            path.parent.mkdir(parents=True, exist_ok=True)
            _ask(root, lambda path=path, bucket=bucket, key=key: s3.download_file(bucket, key, str(path)))


def only_record(_folder: str, names: list[str]) -> list[str]:
    """What of a part is left out beside objects, as ``shutil.copytree`` asks it."""
    return [name for name in names if name != RECORD]


def _places(root: str, contents: Contents) -> Iterator[tuple[Path, str, str]]:
    """Each file of the parts with the bucket and key of its content."""
    address = urlsplit(root)
    prefix = address.path.strip("/")
    for folder in contents.folders.values():
        for name, entry in read_record(folder).files.items():
            yield folder / name, address.netloc, "/".join(filter(None, [prefix, "objects", entry.sha256]))


def _is_there(s3: Any, bucket: str, key: str, size: int) -> bool:
    from botocore.exceptions import ClientError

    try:
        return int(s3.head_object(Bucket=bucket, Key=key)["ContentLength"]) == size
    except ClientError:
        return False  # whatever is wrong shows when it is sent


def _ask(root: str, act: Any) -> None:
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        act()
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise RegistryError(root, found=str(error), expected="objects that can be read and written",
                            fix="look at the bucket and at the credentials in the environment") from None  # fmt: skip


def _client() -> Any:
    import boto3

    return cast("Any", boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None))
