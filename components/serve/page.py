"""The playground: one file, sent as it stands, which may run its own script and talk to this server alone."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.responses import Response

_FILE = Path(__file__).with_name("playground.html")


def playground() -> Response:
    """The page, with the policy that names its style and its script by their digests."""
    content, policy = _read()
    return Response(content, media_type="text/html; charset=utf-8", headers={"content-security-policy": policy})


@cache
def _read() -> tuple[bytes, str]:
    content = _FILE.read_bytes()
    style, script = (_digest(content, tag) for tag in ("style", "script"))
    policy = (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; img-src data:"
    )
    return content, policy


def _digest(content: bytes, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>".encode(), content, re.DOTALL)
    inner = found.group(1) if found else b""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inner).digest()).decode()}'"
