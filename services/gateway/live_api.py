"""The gateway's WebSockets: live conversations."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, suppress

from fastapi import APIRouter, WebSocket

from services.contracts.errors import Unavailable
from services.gateway.chat import Parts
from services.gateway.limits import Seats
from services.gateway.outbox import Outbox
from services.gateway.realtime import RealtimeSession
from services.gateway.session import new_session_id
from services.gateway.sockets import Opened, converse, refuse
from services.gateway.stream import StreamSession
from services.gateway.stream_options import stream_options
from services.gateway.turn import TurnSettings
from services.runtime.lifecycle import Readiness
from textpro.errors import TextProError

SUBPROTOCOL = "realtime"


def live_router(seats: Seats, readiness: Readiness) -> APIRouter:
    """WS /v1/realtime and /v1/stream; the application's `state.parts` and `state.voice` are what they work with."""
    router = APIRouter()

    @router.websocket("/v1/realtime")
    async def realtime(websocket: WebSocket) -> None:
        parts, voice = websocket.app.state.parts, websocket.app.state.voice

        def opened(outbox: Outbox, tasks: asyncio.TaskGroup) -> RealtimeSession:
            return RealtimeSession(new_session_id(), parts, voice, outbox, tasks, TurnSettings())

        await admitted(websocket, parts, lambda: opened, "realtime")

    @router.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        parts, voice = websocket.app.state.parts, websocket.app.state.voice

        def asked() -> Opened:
            options = stream_options(dict(websocket.query_params), parts.settings)
            turns = TurnSettings(answer_commits=True)
            return lambda outbox, tasks: StreamSession(new_session_id(), parts, voice, outbox, tasks, turns, options)

        await admitted(websocket, parts, asked, "stream")

    async def admitted(websocket: WebSocket, parts: Parts, asked: Callable[[], Opened], operation: str) -> None:
        """asked: reads the request; raises what is wrong with it."""
        # What ends a call is raised for what counts it; the caller has been told by then.
        with suppress(TextProError), parts.metrics.serving(operation), ExitStack() as held:
            try:
                if readiness.draining:
                    raise Unavailable("this gateway is stopping; another one takes the call", retry_after_s=1)
                opened = asked()
                held.enter_context(seats.seat())
            except TextProError as error:
                await refuse(websocket, error)
                raise
            # A client that offered no subprotocol must get none, and a browser's key must not be sent back to it.
            offered = websocket.scope.get("subprotocols") or []
            await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            await converse(websocket, opened, parts.settings)

    return router
