"""The ASGI middleware that teaches an OpenAI-compatible server prosody parts: `vllm … --middleware` takes its name.

It stands in front of vLLM and of the transformers server alike. Answers pass through untouched: streams stay streams.
"""

import asyncio
import json
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.contracts.errors import BadRequest, NotFound, PayloadTooLarge, ServiceError, body, headers, outcome
from services.llm.settings import LlmSettings
from services.llm.spoken_turns import SpokenTurns

CHAT = "/v1/chat/completions"
PROSODY_HEADER = "x-textpro-prosody"
_READABLE = frozenset(
    {"/health", "/healthz", "/readyz", "/metrics", "/metrics/", "/v1/models", "/v1/config", "/version"}
)


class ProsodyMiddleware:
    """Checks and projects prosody parts of chat completions; refuses what could carry embeddings past that check.

    Built by vLLM with the app alone, it reads its settings from the environment and answers /healthz, /readyz and
    /v1/config, which vLLM lacks.
    """

    def __init__(self, app: ASGIApp, *, settings: LlmSettings | None = None, turns: SpokenTurns | None = None) -> None:
        self._app = app
        self._settings = settings or LlmSettings.load()
        self._turns = turns or SpokenTurns.from_settings(self._settings)
        self._answers_operations = turns is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        path, method = scope["path"], scope.get("method")
        try:
            if (method, path) == ("POST", CHAT):
                return await self._chat(scope, receive, send)
            if method in ("GET", "HEAD") and self._answers_operations and path in ("/healthz", "/readyz", "/v1/config"):
                return await self._operation(path, scope, receive, send)
            if not self._settings.allow_prompt_embeds and (method not in ("GET", "HEAD") or path not in _READABLE):
                raise NotFound(f"{method or 'WebSocket'} {path} does not exist; this service answers POST {CHAT}")
        except ServiceError as error:
            return await refusal(error)(scope, receive, send)
        await self._app(scope, receive, send)

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await self._read(receive)
        # Base64, tokenizer and projector are work for a thread, not for the event loop.
        content, state = await asyncio.to_thread(self._rewrite, raw)
        forwarded = dict(scope)
        forwarded["headers"] = [
            (name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding")
        ] + [(b"content-length", str(len(content)).encode())]
        pending: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[PROSODY_HEADER] = state
            await send(message)

        await self._app(forwarded, replay, stamped)

    async def _read(self, receive: Receive) -> bytes:
        raw = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("the caller hung up before the body was complete")
            raw += message.get("body", b"")
            if len(raw) > self._settings.max_body_bytes:
                limit = self._settings.max_body_bytes
                raise PayloadTooLarge(f"the body is larger than {limit} bytes (TEXTPRO_LLM_MAX_BODY_BYTES)")
            if not message.get("more_body"):
                return bytes(raw)

    def _rewrite(self, raw: bytes) -> tuple[bytes, str]:
        try:
            request: Any = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}", code="invalid_json") from error
        if not isinstance(request, dict):
            raise BadRequest("the body is not a JSON object", code="invalid_json")
        request, state = self._turns.project(request)
        # Written anew even when nothing changed: the engine must not read another meaning from the same bytes.
        return json.dumps(request).encode(), state

    async def _operation(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if path == "/healthz":
            return await JSONResponse({"status": "ok"})(scope, receive, send)
        if path == "/v1/config":
            config = {"engine": "vllm", "settings": self._settings.public(), **self._turns.describe()}
            return await JSONResponse(config)(scope, receive, send)
        statuses: list[int] = []

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        # vLLM answers GET alone, and HEAD wants the same status.
        await self._app({**scope, "method": "GET", "path": "/health", "raw_path": b"/health"}, receive, note)
        ready = statuses == [200]
        report = {"ready": ready, "draining": False, "dependencies": {"engine": "ok" if ready else "not healthy"}}
        await JSONResponse(report, 200 if ready else 503)(scope, receive, send)


def refusal(error: ServiceError) -> ASGIApp:
    """An error as an ASGI answer in OpenAI's shape; a WebSocket is closed before it opens."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": outcome(error).websocket, "reason": str(error)})
            return
        await JSONResponse(body(error), outcome(error).http, headers(error))(scope, receive, send)

    return answer
