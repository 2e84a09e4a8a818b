"""OpenAI's HTTP interface at the gateway: chat completions with recordings in them, and the model's name."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from services.contracts.completion_answers import EXAMPLE_COMPLETION, ChatCompletion, CompletionWriter
from services.contracts.completions import CompletionRequest
from services.contracts.errors import body
from services.contracts.models import ModelBody, ModelList, check_model
from services.gateway.admission import Doorkeeper
from services.gateway.api import ERRORS, Opened
from services.gateway.completion import Asked, Completed, Event, Heard, complete
from services.gateway.completion_intake import read_completion
from services.gateway.event_stream import DONE, EVENT_STREAM, LAST_WORDS_S, EventStream, data_event
from services.gateway.limits import Deadline
from services.gateway.llm_reply import Delta
from services.gateway.openapi import json_body
from services.gateway.timing import Stopwatch
from services.runtime.http import while_connected

_EXAMPLE_STREAM = (
    'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, '
    '"finish_reason": null}], "textpro": {"transcripts": [{"text": "What is …", "no_speech": null}]}, "…": "…"}\n\n'
    'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Paris."}, '
    '"finish_reason": null}], "…": "…"}\n\n'
    'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], '
    '"textpro": {"prosody": "on", "…": "…"}, "…": "…"}\n\n' + DONE
)


def openai_router(door: Doorkeeper) -> APIRouter:
    """POST /v1/chat/completions, GET /v1/models; the application's `state.parts` is what they work with."""
    router = APIRouter(tags=["openai"])

    @router.post(
        "/v1/chat/completions",
        summary="Complete a chat, of which parts may be spoken",
        response_model=ChatCompletion,
        responses={
            200: {
                "description": "The answer, or its chunks.",
                "content": {
                    "application/json": {"example": EXAMPLE_COMPLETION},
                    EVENT_STREAM: {"example": _EXAMPLE_STREAM},
                },
            },
            **ERRORS,
            404: {**ERRORS[404], "description": "Another model's name."},
        },
        openapi_extra={"requestBody": json_body(CompletionRequest)},
    )
    async def completions(request: Request, parts: Opened) -> Response:
        """OpenAI's Chat Completions. Nothing is kept between requests.

        An `input_audio` part of a user's message is read by the LLM as its transcript, with the prosody in front of
        it. With `stream=true` the answer comes in chunks; what fails before the first one has the status of its error.
        """
        watch, deadline = Stopwatch(), Deadline.after(parts.settings.turn_timeout_s)
        async with AsyncExitStack() as held:
            held.enter_context(door.admitted("chat_completions", parts.metrics))
            with watch.stage("receive"):
                wanted = await deadline.run(read_completion(request, parts.settings))
            events = await held.enter_async_context(aclosing(complete(Asked(wanted, watch, deadline), parts)))
            writer = CompletionWriter(parts.settings.model)
            if not wanted.stream:
                return JSONResponse(await while_connected(request, _whole(events, writer)))
            first = await while_connected(request, _first(events))
            chunks = _chunks(first, events, writer, with_usage=wanted.with_usage)
            return EventStream(chunks, _failure, held.pop_all(), deadline.later(LAST_WORDS_S))

    @router.get("/v1/models", summary="List the models")
    async def models(parts: Opened) -> ModelList:
        """There is one, by the name that requests give."""
        return ModelList(data=[ModelBody(id=parts.settings.model)])

    @router.get("/v1/models/{model:path}", summary="Show a model", responses={404: ERRORS[404]})
    async def model(model: str, parts: Opened) -> ModelBody:
        """Whether there is a model of this name."""
        check_model(model, parts.settings.model)
        return ModelBody(id=model)

    return router


async def _first(events: AsyncIterator[Event]) -> Event:
    return await anext(events)


async def _whole(events: AsyncIterator[Event], writer: CompletionWriter) -> dict[str, Any]:
    texts: list[str] = []
    async for event in events:
        match event:
            case Delta():
                texts.append(event.text)
            case Completed():
                return writer.whole("".join(texts), event.calls, event.finish_reason, event.usage, event.extension)
            case Heard():
                pass
    raise AssertionError("a completion ends with Completed")


async def _chunks(
    first: Event, events: AsyncIterator[Event], writer: CompletionWriter, *, with_usage: bool
) -> AsyncGenerator[str]:
    assert isinstance(first, Heard)
    yield data_event(writer.first(first.transcripts))
    async for event in events:
        match event:
            case Delta():
                yield data_event(writer.delta(event.text, event.calls))
            case Completed():
                yield data_event(writer.last(event.finish_reason, event.extension))
                if with_usage:
                    yield data_event(writer.usage(event.usage))
    yield DONE


def _failure(error: Exception) -> str:
    return data_event(body(error)) + DONE
