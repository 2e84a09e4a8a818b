"""The gateway's WebSockets: live conversations."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, suppress

from fastapi import APIRouter, WebSocket

from services.contracts.errors import BadRequest, Unavailable
from services.gateway.calls import Call, Calls, Opened
from services.gateway.chat import Parts
from services.gateway.journal import State
from services.gateway.limits import Seats
from services.gateway.live_peer import Opening
from services.gateway.realtime import RealtimeSession
from services.gateway.sockets import converse, refuse
from services.gateway.stream import StreamSession
from services.gateway.stream_options import stream_options
from services.gateway.turn_settings import TurnSettings
from services.runtime.lifecycle import Readiness
from textpro.errors import TextProError

SUBPROTOCOL = "realtime"
TOKEN, LAST_READ = "resume_token", "last_event_seq"
MAX_DIGITS = 15


def live_router(seats: Seats, readiness: Readiness) -> APIRouter:
    """WS /v1/realtime and /v1/stream; the application's `state.parts`, `state.vad` and `state.calls` are what they
    work with."""
    router = APIRouter()

    @router.websocket("/v1/realtime")
    async def realtime(websocket: WebSocket) -> None:
        parts, vad = websocket.app.state.parts, websocket.app.state.vad
        turns = TurnSettings.of(parts.settings, answer_commits=False)

        def opened(call: Call, tasks: asyncio.TaskGroup, left: State | None) -> RealtimeSession:
            return RealtimeSession(Opening(call.token, parts, vad, call.outbox, tasks, turns, left))

        await admitted(websocket, parts, lambda: opened, "realtime")

    @router.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        parts, vad = websocket.app.state.parts, websocket.app.state.vad
        turns = TurnSettings.of(parts.settings, answer_commits=True)

        def asked() -> Opened:
            given = {name: value for name, value in websocket.query_params.items() if name not in (TOKEN, LAST_READ)}
            options = stream_options(given, parts.settings)

            def opened(call: Call, tasks: asyncio.TaskGroup, left: State | None) -> StreamSession:
                return StreamSession(Opening(call.token, parts, vad, call.outbox, tasks, turns, left), options)

            return opened

        await admitted(websocket, parts, asked, "stream")

    async def admitted(websocket: WebSocket, parts: Parts, asked: Callable[[], Opened], operation: str) -> None:
        """asked: reads the request; raises what is wrong with it."""
        # What ends a call is raised for what counts it; the caller has been told by then.
        with suppress(TextProError), parts.metrics.serving(operation), ExitStack() as held:
            calls: Calls = websocket.app.state.calls
            try:
                if readiness.draining:
                    raise Unavailable("this gateway is stopping; another one takes the call", retry_after_s=1)
                opened, last_read = asked(), _last_read(websocket)
                held.enter_context(seats.seat())
                if last_read is None:
                    call = await calls.begin(operation, opened)
                else:
                    call = await calls.resume(operation, websocket.query_params[TOKEN], last_read, opened)
            except TextProError as error:
                await refuse(websocket, error)
                raise
            # A client that offered no subprotocol must get none, and a browser's key must not be sent back to it.
            offered = websocket.scope.get("subprotocols") or []
            await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            await converse(websocket, call, parts.settings, last_read)

    return router


def _last_read(websocket: WebSocket) -> int | None:
    """The number of the last message that a client has read who comes back; None for a new one. Raises BadRequest."""
    if TOKEN not in websocket.query_params:
        return None
    given = websocket.query_params.get(LAST_READ, "")
    if not (given.isascii() and given.isdecimal()) or len(given) > MAX_DIGITS:
        message = "a call is resumed with the number of the last event that was read"
        raise BadRequest(message, param=LAST_READ, code="invalid_value")
    return int(given)
