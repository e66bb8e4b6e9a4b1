"""The routes. In: requests that passed the gate. Out: answers. In between: a version is held while it answers.

    GET  /                         the playground
    GET  /healthz, /readyz         alive; able to answer
    GET  /metrics                  for Prometheus
    GET  /v1/models[/NAME]         the versions; one with its card and its pedigree
    GET  /versions/NAME            the page that a version carries
    POST /v1/completions           go on with a text
    POST /v1/chat/completions      go on with a conversation
    GET  /v1/applications          all of them, and which a version answers, with examples and schemas
    POST /v1/applications/NAME     one of them

``NAME`` is the registered name, which follows the alias of the server; any alias; or ``name@number`` for one version.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from components.applications import APPLICATIONS, Application
from components.serve.answers import Bell, Piece, write
from components.serve.applications import Answer, Usage, respond
from components.serve.config import ServeConfig
from components.serve.engine import Engine, Order
from components.serve.errors import Refusal, broken, ending, invalid, not_learned, not_ready
from components.serve.formats import Format, Text, usage
from components.serve.gate import Gate
from components.serve.page import playground
from components.serve.protocol import ChatRequest, CompletionRequest
from components.serve.requests import orders_of
from components.serve.shadow import Shadow
from components.serve.versions import NONE_YET, Identity, Served, Source, Versions
from components.serve.watch import Visit, Watch

Value = TypeVar("Value")
Name = Annotated[str | None, Query(max_length=500)]


class Service:
    """What the routes share.

    Attributes:
        is_draining: the server is about to end: what runs is finished, nothing new is taken.
    """

    def __init__(self, config: ServeConfig, source: Source) -> None:
        self.config, self.is_draining = config, False
        self.bell = Bell(asyncio.get_running_loop())
        self.versions = Versions(source, config, self.bell.wake)
        self.watch = Watch(self.versions)
        self.shadow = Shadow(config, self.versions, self.bell, self.watch)

    def drain(self) -> None:
        """Take nothing new; what still runs when its time is over ends with an error."""
        self.is_draining = True
        asyncio.get_running_loop().call_later(self.config.drain_seconds, self.bell.end)

    def check_ready(self) -> None:
        """Raises Refusal when nothing can be answered; it names no path and no address, since anybody may read it."""
        if self.is_draining:
            raise ending()
        if self.versions.current is None:
            raise not_ready(NONE_YET)


def make_app(service: Service) -> Gate:
    """The application, behind its gate. The versions are followed while it runs."""
    app = FastAPI(title="Pedigree", docs_url=None, redoc_url=None, lifespan=_following(service), redirect_slashes=False)
    _add_watching(app, service)
    _add_models(app, service)
    _add_writing(app, service)
    _add_applications(app, service)
    app.add_exception_handler(RequestValidationError, _told_invalid)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(Exception, _told_broken)  # the gate writes the log
    return Gate(app, service.config, service.watch)


def _following(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(service.versions.follow(service.config.poll_seconds))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return lifespan


def _add_watching(app: FastAPI, service: Service) -> None:
    @app.get("/")
    async def page(request: Request) -> Response:
        _visit(request).route = "/"
        return playground()

    @app.get("/healthz")
    async def health(request: Request) -> dict[str, str]:
        _visit(request).route = "/healthz"
        return {"status": "alive"}

    @app.get("/readyz")
    async def ready(request: Request) -> dict[str, str]:
        _visit(request).route = "/readyz"
        service.check_ready()
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        _visit(request).route = "/metrics"
        return Response(generate_latest(service.watch.registry), media_type="text/plain; version=0.0.4")


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        _visit(request).route = "/v1/models"
        return {"object": "list", "data": _listed(service.versions)}

    @app.get("/v1/models/{name}")
    async def model(name: str, request: Request) -> dict[str, Any]:
        _visit(request).route = "/v1/models/{name}"
        async with service.versions.use(name) as served:
            entry = _entry(name, served.identity, is_answering=served is service.versions.current)
            return {**entry, "card": served.opened.card, "pedigree": served.opened.pedigree,
                    "context_tokens": served.engine.config.context_tokens}  # fmt: skip

    @app.get("/versions/{name}")
    async def version_page(name: str, request: Request) -> Response:
        _visit(request).route = "/versions/{name}"
        async with service.versions.use(name) as served:
            return Response(served.opened.page, media_type="text/html; charset=utf-8")


def _listed(versions: Versions) -> list[dict[str, Any]]:
    current = versions.current.identity if versions.current else None
    followed = [_entry(current.name, current, is_answering=True)] if current else []
    named = [_entry(alias, i, is_answering=i == current) for alias, i in versions.aliases.items()]
    return followed + named + [_entry(i.model, i, is_answering=i == current) for i in versions.known]


def _entry(name: str, identity: Identity, *, is_answering: bool) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": identity.name, "version": identity.model,
            "digest": identity.digest, "aliases": list(identity.aliases), "answering": is_answering}  # fmt: skip


def _add_writing(app: FastAPI, service: Service) -> None:
    @app.post("/v1/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        _visit(request).route = "/v1/completions"
        return await _answer(service, request, body)

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        _visit(request).route = "/v1/chat/completions"
        return await _answer(service, request, body)


async def _answer(service: Service, request: Request, body: CompletionRequest | ChatRequest) -> Response:
    """One answer, whole or as a stream; the version is held until its last byte."""
    service.check_ready()
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(service.versions.use(body.model))
        engine, orders, stops = await orders_of(body, served)
        if isinstance(body, ChatRequest):
            form = Format("chat", served, wants_logprobs=bool(body.logprobs))
        else:
            form = Format("completion", served, wants_logprobs=body.logprobs is not None)
        _check_line(engine, len(orders), service.config.most_waiting)
        pieces = write(engine, served.codec, service.bell, orders, stops, service.config.timeout_seconds)
        answer = _Answer(service, served, _visit(request), body, orders, pieces, form)
        if body.stream:
            return _EventStream(answer.events(), stack.pop_all(), service.config.timeout_seconds)
        whole = await _unless_left(answer.whole(), request.receive)
        return JSONResponse(whole) if whole else Response(status_code=499)


def _check_line(engine: Engine, num_orders: int, most_waiting: int) -> None:
    if engine.num_busy + engine.num_waiting + num_orders > engine.num_slots + most_waiting:
        raise not_ready("Too many texts wait already.", "overloaded")


def _add_applications(app: FastAPI, service: Service) -> None:
    @app.get("/v1/applications")
    async def applications(request: Request, model: Name = None) -> dict[str, Any]:
        _visit(request).route = "/v1/applications"
        told = []
        for name, application in APPLICATIONS.items():
            async with service.versions.use(model, name) as served:
                told.append(_told_of(application, served))
        return {"object": "list", "data": told}

    for application in APPLICATIONS.values():
        _add_application(app, service, application)


def _told_of(application: Application, served: Served) -> dict[str, Any]:
    skill = served.skills.get(application.name)
    example = skill.example if skill else application.example.model_dump(mode="json")
    return {"id": application.name, "object": "application", "model": served.identity.model,
            "sentence": application.sentence,
            "decoding": application.decoding, "answered": skill is not None, "example": example,
            "request": application.request.model_json_schema()}  # fmt: skip


def _add_application(app: FastAPI, service: Service, application: Application) -> None:
    path = f"/v1/applications/{application.name}"

    async def apply(request: Request, body: Any, model: Name = None) -> Response:
        visit = _visit(request)
        visit.route = path
        service.check_ready()
        async with service.versions.use(model, application.name) as served:
            skill = served.skills.get(application.name)
            if skill is None:
                raise not_learned(application.name, served.identity.model, list(served.skills))
            _check_line(skill.engine, 1, service.config.most_waiting)
            work = respond(skill, body, service.bell, service.config.timeout_seconds)
            found = await _unless_left(work, request.receive)
            return _told_answer(service, visit, served, application.name, body, found)

    # FastAPI reads the types of a route from its annotations, which are the application's own here.
    apply.__annotations__ |= {"body": application.request, "model": Name, "request": Request}
    example = application.example.model_dump(mode="json")
    app.post(path, summary=application.sentence, response_model=Answer[application.response],  # type: ignore[name-defined]
             openapi_extra={"requestBody": {"content": {"application/json": {"example": example}}}})(apply)  # fmt: skip


def _told_answer(
    service: Service, visit: Visit, served: Served, name: str, body: BaseModel, found: Mapping[str, Any] | None
) -> Response:
    """The answer of an application as JSON; nobody is there to read it where ``found`` is None."""
    if found is None:
        return Response(status_code=499)
    usage: Usage = found["usage"]
    visit.facts |= {"model": served.identity.model, "prompt_tokens": usage.prompt_tokens,
                    "completion_tokens": usage.completion_tokens}  # fmt: skip
    service.watch.first_token(visit)
    if service.config.log_text:
        visit.facts |= {"request": body.model_dump(), "answer": found["answer"].model_dump()}
    answer = Answer(
        application=name, model=served.identity.model, system_fingerprint=served.identity.digest[:16], **found
    )
    return Response(answer.model_dump_json(serialize_as_any=True), media_type="application/json")


class _Answer:
    """An answer on its way."""

    def __init__(
        self, service: Service, served: Served, visit: Visit, body: CompletionRequest | ChatRequest,
        orders: Sequence[Order], pieces: AsyncGenerator[Piece, None], form: Format,
    ) -> None:  # fmt: skip
        self._service, self._visit, self._body, self._form = service, visit, body, form
        self._served, self._seed = served, orders[0].seed
        self._texts = [Text() for _ in orders]
        self._pieces = pieces
        num_each = body.n or 1
        self._prompt_tokens = sum(len(order.prompt) for order in orders[::num_each])
        visit.facts |= {"model": served.identity.model, "prompt_tokens": self._prompt_tokens, "completion_tokens": 0}
        if service.config.log_text:
            visit.facts["request"] = body.model_dump(exclude_unset=True)

    async def whole(self) -> dict[str, Any]:
        """The object that tells all of it."""
        async with aclosing(self._taken()) as pieces:
            async for _ in pieces:
                pass
        return self._form.whole(self._texts, self._usage())

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """The objects of a stream."""
        for opening in self._form.opening(len(self._texts)):
            yield opening
        async with aclosing(self._taken()) as pieces:
            async for piece, offset in pieces:
                yield self._form.piece(piece, offset)
        if self._body.stream_options and self._body.stream_options.include_usage:
            yield self._form.closing(self._usage())

    async def _taken(self) -> AsyncGenerator[tuple[Piece, int], None]:
        """The pieces, noted; each with the length of its text before it."""
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                self._service.watch.first_token(self._visit)
                text = self._texts[piece.index]
                offset = len(text.text)
                text.add(piece)
                self._note()
                yield piece, offset
        self._service.shadow.follow(self._visit, self._served, self._body, self._seed, self._texts)

    def _note(self) -> None:
        facts = self._visit.facts
        facts["completion_tokens"] = sum(len(text.tokens) for text in self._texts)
        facts["finish_reason"] = self._texts[0].reason
        if self._service.config.log_text:
            facts["answer"] = [text.text for text in self._texts]

    def _usage(self) -> dict[str, Any]:
        return usage(self._prompt_tokens, sum(len(text.tokens) for text in self._texts))


class _EventStream(Response):
    """Server-sent events (HTML Standard, section 9.2) that end with their reader, or when the time is over."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[dict[str, Any], None], held: AsyncExitStack, seconds: float) -> None:
        super().__init__()
        self._events, self._held, self._seconds = events, held, seconds
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; what they hold is let go of at the end, whatever that is."""
        async with self._held, aclosing(self._events):
            # The answer has its own limit and tells of it; who does not read what is sent is cut off later.
            await _unless_left(self._send_all(send), receive, 2 * self._seconds)

    async def _send_all(self, send: Send) -> bool:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for value in self._events:
                await send(_body(_event(json.dumps(value, ensure_ascii=False, separators=(",", ":")))))
            await send(_body(_event("[DONE]")))
        except Refusal as refusal:
            await send(_body(_event(json.dumps(refusal.body))))
        await send(_body(b"", more=False))
        return True


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def _body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _unless_left(work: Awaitable[Value], receive: Receive, seconds: float | None = None) -> Value | None:
    """What ``work`` gives; None when the client leaves before, or does not read within the time."""
    worker, listener = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({worker, listener}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return worker.result() if worker.done() else None
    finally:
        worker.cancel()
        listener.cancel()
        await asyncio.gather(worker, listener, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _told_invalid(_request: Request, error: Exception) -> Response:
    """The first thing that is wrong with a body; what was sent is not repeated."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "invalid"}
    places = (str(part).encode(errors="replace").decode() for part in first["loc"][1:])
    place = ".".join(part for part in places if not part.isdigit()) or None
    refusal = invalid(f"{place or 'the body'}: {first['msg']}"[:500], param=place)
    return JSONResponse(refusal.body, refusal.status_code)


async def _told(request: Request, error: Exception) -> Response:
    """Refusals, and what the framework itself refuses: unknown paths, other methods, bodies that are no JSON."""
    if isinstance(error, Refusal):
        return JSONResponse(error.body, error.status_code, error.headers)
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = {404: "There is nothing at this path.", 405: "This path wants another method."}.get(status)
    refusal = invalid(detail or "The body is no JSON in UTF-8.", status=status)
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse(refusal.body, status, dict(headers or {}))


async def _told_broken(_request: Request, _error: Exception) -> Response:
    return JSONResponse(broken().body, 500)


def _visit(request: Request) -> Visit:
    visit: Visit = request.scope["visit"]
    return visit
