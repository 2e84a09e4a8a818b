"""The LLM service where vLLM can't run: the same contract, on transformers.

ProsodyMiddleware stands in front of it as it stands in front of vLLM, so spoken turns are read by the same code.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.contracts.errors import body, outcome
from services.llm.completions import ChatRequest, Reply
from services.llm.prosody import CHAT, ProsodyMiddleware
from services.llm.settings import MODEL_NAME, LlmSettings
from services.llm.spoken_turns import SpokenTurns
from services.llm.transformers_engine import Answer, TransformersEngine
from services.llm.worker import Worker
from services.runtime.http import RequestId, install_errors, serving, while_connected
from services.runtime.lifecycle import Readiness, stop_signal
from services.runtime.metrics import Metrics
from services.runtime.operations import operations
from textpro.bundle import Bundle
from textpro.language_model import bundle_llm

log = logging.getLogger(__name__)


def create_app(
    settings: LlmSettings, turns: SpokenTurns, engine: TransformersEngine, readiness: Readiness, metrics: Metrics
) -> FastAPI:
    """The HTTP door; whoever calls owns the engine and its worker."""
    app = FastAPI(title="TextPro LLM", docs_url=None, redoc_url=None, openapi_url=None)
    install_errors(app)
    app.add_middleware(ProsodyMiddleware, settings=settings, turns=turns)
    app.add_middleware(RequestId)
    config = {"engine": "transformers", "settings": settings.public(), **turns.describe()}
    app.include_router(operations(readiness, metrics, lambda: config))

    @app.post(CHAT)
    async def chat(request: Request, wanted: ChatRequest) -> Response:
        readiness.require()
        wanted.check()
        if wanted.stream:
            with_usage = wanted.stream_options is not None and wanted.stream_options.include_usage
            # Queued before the answer's head is sent, so that a refusal still has its own status.
            answer = await _counted(metrics, engine, wanted)
            return _Stream(answer, metrics, with_usage=with_usage)
        with metrics.serving("chat"):
            answer = await engine.answer(wanted)
            try:
                return JSONResponse(await while_connected(request, _whole(answer)))
            finally:
                answer.cancel()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        model = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "textpro"}
        return {"object": "list", "data": [{**model, "max_model_len": engine.context}]}

    @app.get("/health")
    async def health() -> Response:
        return Response(status_code=200 if readiness.is_ready else 503)

    return app


async def _counted(metrics: Metrics, engine: TransformersEngine, wanted: ChatRequest) -> Answer:
    try:
        return await engine.answer(wanted)
    except Exception as error:
        metrics.request("chat", getattr(error, "code", None) or outcome(error).type)
        raise


async def _whole(answer: Answer) -> dict[str, Any]:
    texts: list[str] = []
    async for piece in answer:
        texts.append(piece.text)
        if piece.finish_reason is not None:
            return Reply(answer.n_prompt).whole("".join(texts), piece.finish_reason, piece.n_tokens)
    raise RuntimeError("the answer ended without a reason")


class _Stream(StreamingResponse):
    """Server-sent events of an answer; however the response ends, the generation ends with it."""

    def __init__(self, answer: Answer, metrics: Metrics, *, with_usage: bool) -> None:
        super().__init__(_events(answer, metrics, with_usage=with_usage), media_type="text/event-stream")
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.cancel()


async def _events(answer: Answer, metrics: Metrics, *, with_usage: bool) -> AsyncIterator[str]:
    reply = Reply(answer.n_prompt)
    try:
        with metrics.serving("chat"):
            yield _event(reply.first())
            async for piece in answer:
                if piece.text:
                    yield _event(reply.delta(piece.text))
                if piece.finish_reason is not None:
                    yield _event(reply.last(piece.finish_reason))
                    if with_usage:
                        yield _event(reply.usage_chunk(piece.n_tokens))
    except Exception as error:  # the edge: the status is sent already, so the stream itself carries the error
        log.exception("an answer failed")
        yield _event(body(error))
    yield "data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


async def serve(settings: LlmSettings) -> None:
    """Loads the LLM, then serves until SIGTERM; open answers have `drain_s` seconds. Raises BundleError."""
    metrics, readiness = Metrics("llm"), Readiness()
    bundle = Bundle.load(settings.bundle)
    path = await asyncio.to_thread(bundle_llm, bundle, settings.cache, name=settings.model)
    turns = await asyncio.to_thread(SpokenTurns.load, settings, bundle, path)
    with Worker(concurrency=settings.concurrency, queue=settings.queue, depth=metrics.queue_depth) as worker:
        engine = await asyncio.to_thread(TransformersEngine.load, settings, path, turns.template, worker, metrics)
        app = create_app(settings, turns, engine, readiness, metrics)
        async with stop_signal() as stop, serving(app, settings.host, settings.port, drain_s=settings.drain_s) as port:
            log.info("llm service listens", extra={"engine": "transformers", "port": port, "model": str(path)})
            await stop.wait()
            readiness.drain()
