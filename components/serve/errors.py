"""What a request can be refused for, told as OpenAI's API tells it, so that its clients understand.

Refusal                     status  type                    code
├── invalid(...)            400     invalid_request_error   None, or context_length_exceeded
├── no_key()                401     invalid_request_error   invalid_api_key
├── unknown_model(...)      404     invalid_request_error   model_not_found
├── wrong_host(...)         421     invalid_request_error   None
├── not_learned(...)         404     invalid_request_error   application_not_found
├── too_large(...)          413     invalid_request_error   request_too_large
├── too_many(...)           429     requests                rate_limit_exceeded
├── not_ready(...)          503     server_error            not_ready, version_refused or overloaded
├── ending()                503     server_error            not_ready
├── too_slow(...)           408/504 timeout                 timeout
└── broken()                500     server_error            None
"""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException


class Refusal(HTTPException):
    """A request that gets no answer: status and error body."""

    def __init__(
        self, status: int, kind: str, message: str, *, code: str | None = None, param: str | None = None,
        retry_seconds: int | None = None,
    ) -> None:  # fmt: skip
        headers = {} if retry_seconds is None else {"retry-after": str(retry_seconds)}
        # What is left of a body that is not read must not be taken for the next request.
        headers |= {"connection": "close"} if status in (408, 413) else {}
        super().__init__(status, message, headers)
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> Refusal:
    """The request is not one that can be answered."""
    return Refusal(status, "invalid_request_error", message, code=code, param=param)


def no_key() -> Refusal:
    """No key, or an unknown one; the message does not repeat it."""
    message = "This server wants an API key that it knows, as `Authorization: Bearer KEY`."
    return invalid(message, code="invalid_api_key", status=401)


def unknown_model(name: str, known: list[str]) -> Refusal:
    """There is no such version."""
    message = f"The model {name[:100]!r} does not exist here; there are: {', '.join(known) or 'none yet'}."
    return invalid(message, code="model_not_found", param="model", status=404)


def wrong_host(host: str) -> Refusal:
    """The request names a host that this server is not."""
    message = f"This server does not answer for {host[:100]!r}; `--allow-host` names further hosts that it answers for."
    return invalid(message, status=421)


def not_learned(application: str, model: str, answered: list[str]) -> Refusal:
    """The version has no model for the application."""
    message = f"{model} has not learned to {application}; it answers: {', '.join(sorted(answered)) or 'nothing'}."
    return invalid(message, code="application_not_found", status=404)


def too_large(most_bytes: int) -> Refusal:
    """The body is longer than this server reads."""
    message = f"The body of a request may have {most_bytes:,} bytes here."
    return invalid(message, code="request_too_large", status=413)


def too_many(per_minute: int, retry_seconds: int) -> Refusal:
    """The caller's share is used up for now."""
    message = f"Rate limit: {per_minute} requests a minute. Try again in {retry_seconds} s."
    return Refusal(429, "requests", message, code="rate_limit_exceeded", retry_seconds=retry_seconds)


def not_ready(message: str, code: str = "not_ready") -> Refusal:
    """Nothing can be answered at this moment."""
    return Refusal(503, "server_error", message, code=code, retry_seconds=1)


def ending() -> Refusal:
    """The time that running answers get at the end is over, or nothing new is begun."""
    return not_ready("This server is about to end.")


def too_slow(message: str, status: int) -> Refusal:
    """The time for it is over: 408 for reading the request, 504 for the answer, or for loading the version."""
    return Refusal(status, "timeout", message, code="timeout")


def broken() -> Refusal:
    """A fault of ours; the log knows more."""
    return Refusal(500, "server_error", "This server failed to answer; its log says why.")
