"""What every HTTP door of ours does alike: OpenAI's errors, a bound on bodies, a request id, a server we can stop."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.contracts.errors import Cancelled, PayloadTooLarge, body, headers, outcome
from services.runtime.lingering import Lingering
from services.runtime.logging import begin_request, request_id
from textpro.errors import TextProError

T = TypeVar("T")
REQUEST_ID_HEADER = "x-request-id"
FILES = {"GET", "HEAD"}  # methods of what is no route


def install_errors(app: FastAPI) -> None:
    """Every error of this app leaves as OpenAI's body: ours by the table, validation 400, 404, 405, the rest 500."""
    app.add_exception_handler(TextProError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _ours)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(body(error), outcome(error).http, headers(error) | _identity())


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) and error.errors() else {}
    place = [str(part) for part in first.get("loc", ())]
    param = ".".join(place[1:]) or None
    message = f"{param or 'request'}: {str(first.get('msg', 'invalid')).lower()}"
    return _shaped(400, message, code="invalid_request", param=param)


async def _http(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    extra = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == 404:
        return _shaped(404, f"{request.url.path} does not exist", code="not_found", extra=extra)
    if status == 405:
        allowed = ", ".join(sorted(_methods(request) or FILES))
        message = f"{request.method} is not allowed on {request.url.path}; allowed: {allowed}"
        return _shaped(405, message, code="method_not_allowed", extra={"Allow": allowed})
    return _shaped(status, str(getattr(error, "detail", error)), code=None, extra=extra)


def _methods(request: Request) -> set[str]:
    """Of all routes of the path; Starlette itself tells those of the first one alone."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    return {
        method for route in routes if route.matches(request.scope)[0] is Match.PARTIAL for method in route.methods or ()
    }


def _shaped(
    status: int, message: str, *, code: str | None, param: str | None = None, extra: dict[str, str] | None = None
) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    content = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(content, status, (extra or {}) | _identity())


def _identity() -> dict[str, str]:
    return {REQUEST_ID_HEADER: request_id.get()} if request_id.get() else {}


class RequestId:
    """ASGI middleware: takes the caller's x-request-id, or makes one; logs carry it and the answer returns it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        # Not reset afterwards: the outermost error handler runs after this and wants it. Each request has its context.
        begin_request(Headers(scope=scope).get(REQUEST_ID_HEADER, ""))

        async def stamped(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id.get()
            await send(message)

        await self._app(scope, receive, stamped)


class BodyLimit:
    """ASGI middleware: at most `max_bytes` of request body, declared or chunked; more gets 413, the connection closes.

    `setting` is the variable an operator would raise; the message names it. `overhead` bytes more are let through, for
    what a form needs beside its file.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, setting: str, *, overhead: int = 0) -> None:
        self._app = app
        self._max_bytes, self._overhead = max_bytes, overhead
        self._setting = setting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes + self._overhead:
            return await self._refuse(send)
        exceeded = started = False
        n_bytes = 0

        async def counted() -> Message:
            nonlocal exceeded, n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._max_bytes + self._overhead:
                exceeded = True
                raise self._error()
            return message

        async def guarded(message: Message) -> None:
            nonlocal started
            # The framework may turn the error it read into an answer of its own; ours takes that answer's place.
            if exceeded and not started:
                return
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, counted, guarded)
        except PayloadTooLarge:
            if started:
                raise
        if exceeded and not started:
            await self._refuse(send)

    def _error(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"the body is larger than {self._max_bytes} bytes ({self._setting})")

    async def _refuse(self, send: Send) -> None:
        error = self._error()
        content = json.dumps(body(error)).encode()
        fields = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            "connection": "close",
        } | _identity()
        raw = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": outcome(error).http, "headers": raw})
        await send({"type": "http.response.body", "body": content})


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller hangs up; then Cancelled is raised.

    The request's body must have been read: what comes after it is only the hang-up.
    """
    doing = asyncio.create_task(work, name="answer")
    watching = asyncio.create_task(_hang_up(request), name="hang-up")
    try:
        await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Cancelled("the caller hung up")
        return doing.result()
    finally:
        doing.cancel()
        watching.cancel()
        await asyncio.gather(doing, watching, return_exceptions=True)


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process decides when it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    app: ASGIApp, host: str, port: int, *, drain_s: float, max_message_bytes: int | None = None
) -> AsyncIterator[int]:
    """Serves `app` for the time of the block and gives the port (0 asks for a free one). max_message_bytes: of a
    WebSocket; without it there are none.

    On the way out no new connection is taken and open requests have `drain_s` seconds.
    Raises OSError when the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    config = uvicorn.Config(
        Lingering(app),
        http="h11",  # httptools, which uvicorn prefers where it is installed, takes headers without end
        ws="none" if max_message_bytes is None else "websockets-sansio",
        ws_max_size=max_message_bytes or 0,
        ws_per_message_deflate=False,  # sound does not get smaller, and every connection would keep two windows for it
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=max(1, round(drain_s)),
        server_header=False,
    )
    server = _Server(config)
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it an answer waits 40 ms for an ACK.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, f"HTTP can't listen on {host}:{port}: {error.strerror}") from error
        listener.listen(config.backlog)
        listener.setblocking(False)
        running = asyncio.create_task(server.serve(sockets=[listener]), name=f"http:{port}")
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running
