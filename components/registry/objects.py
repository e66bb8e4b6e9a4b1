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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core import s3
from components.core.errors import RegistryError
from components.core.files import sha256_file
from components.core.records import RECORD, read_record

if TYPE_CHECKING:
    from components.registry.contents import Contents


def send(root: str, contents: Contents) -> None:
    """Send what is not there yet. Raises RegistryError."""
    with opened(root) as client:
        for path, bucket, key in _places(root, contents):
            if not _is_there(client, bucket, key, path.stat().st_size):
                client.upload_file(str(path), bucket, key)


def bring(root: str, contents: Contents) -> None:
    """Bring every file that the records name and that is not here. Raises RegistryError."""
    with opened(root) as client:
        for path, bucket, key in _places(root, contents):
            if not path.exists() or sha256_file(path) != key.rpartition("/")[2]:
                path.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, key, str(path))


@contextmanager
def opened(root: str) -> Iterator[Any]:
    """A client; what S3 refuses inside the block is told as a RegistryError, whoever asks."""
    client = s3.open_client(RegistryError, endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None)
    with s3.explained(RegistryError, root, expected="objects that can be read and written",
                      fix="look at the bucket and at the credentials in the environment"):  # fmt: skip
        yield client


def only_record(_folder: str, names: list[str]) -> list[str]:
    """What of a part is left out beside objects, as ``shutil.copytree`` asks it."""
    return [name for name in names if name != RECORD]


def _places(root: str, contents: Contents) -> Iterator[tuple[Path, str, str]]:
    """Each file of the parts with the bucket and key of its content."""
    bucket, prefix = s3.split_address(root)
    for folder in contents.folders.values():
        for name, entry in read_record(folder).files.items():
            yield folder / name, bucket, "/".join(filter(None, [prefix.strip("/"), "objects", entry.sha256]))


def _is_there(client: Any, bucket: str, key: str, size: int) -> bool:
    from botocore.exceptions import ClientError

    try:
        return int(client.head_object(Bucket=bucket, Key=key)["ContentLength"]) == size
    except ClientError:
        return False  # whatever is wrong shows when it is sent
