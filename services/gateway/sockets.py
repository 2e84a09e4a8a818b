"""A WebSocket and who speaks over it: receiving, sending, and the one place where a connection ends."""

import asyncio
import contextlib
import logging
from typing import NoReturn

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from starlette.types import Message

from services.contracts.errors import Cancelled, DeadlineExceeded, TakenOver, body, headers, outcome
from services.gateway.calls import Call, Peer
from services.gateway.outbox import Outbox
from services.gateway.settings import GatewaySettings
from textpro.errors import TextProError

log = logging.getLogger(__name__)
IDLE_STEP = 0.05  # of the longest silence: how precisely it is measured, for a timer for every frame is dear
CLOSE_S = 5.0  # for the last words to a client that does not read
MAX_REASON_BYTES = 120  # of the 123 that a close frame has room for
WELL_DONE = 1000
LOST, GOODBYES = 1006, (WELL_DONE, 1005)  # close codes of a client that means it; the others are accidents


class _Over(Exception):
    """All has been said."""


async def refuse(websocket: WebSocket, error: TextProError) -> None:
    """Before the upgrade: an answer of HTTP, with its status, its body and Retry-After."""
    await websocket.send_denial_response(JSONResponse(body(error), outcome(error).http, headers(error)))


async def converse(websocket: WebSocket, call: Call, settings: GatewaySettings, last_read: int | None = None) -> None:
    """An accepted connection, to its end. A client that says goodbye ends its call; one that is lost may come back.

    Raises what ended the connection, once the client has been told; a client that is lost raises Cancelled.
    """
    error = await _until_the_end(websocket, call, settings, last_read)
    if isinstance(error, _Over):
        call.end(Cancelled("all has been said"))
        return await _close(websocket, WELL_DONE, "")
    if isinstance(error, WebSocketDisconnect):
        if error.code in GOODBYES:
            call.end(Cancelled("the client hung up"))
            return
        raise Cancelled("the client is lost")
    if not isinstance(error, TakenOver):
        call.end(error)
    row = outcome(error)
    if row.http == 500:
        log.error("a live session failed", exc_info=error)
    reason = body(error)["error"]["message"].encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    await _close(websocket, row.websocket, reason)
    raise error


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError, TimeoutError):  # it may be gone by now
        async with asyncio.timeout(CLOSE_S):
            await websocket.close(code, reason)


async def _until_the_end(
    websocket: WebSocket, call: Call, settings: GatewaySettings, last_read: int | None
) -> BaseException:
    try:
        async with call.connected(last_read) as connection, asyncio.TaskGroup() as tasks:
            if last_read is not None:
                call.peer.take_up()
            tasks.create_task(_send(websocket, call.outbox), name="send")
            tasks.create_task(call.until_end(), name="end")
            tasks.create_task(connection.until_taken(), name="taken")
            await _receive(websocket, call.peer, settings.live_idle_s)
    except BaseExceptionGroup as group:  # the first to fail has ended the others
        return group.exceptions[0]
    except TextProError as error:
        return error


async def _receive(websocket: WebSocket, peer: Peer, idle_s: float) -> NoReturn:
    """The client's going is an error, too, and ends the group."""
    loop = asyncio.get_running_loop()
    heard_s = loop.time()
    try:
        async with asyncio.timeout(idle_s) as idle:
            while True:
                message = await websocket.receive()
                if loop.time() - heard_s > IDLE_STEP * idle_s:
                    heard_s = loop.time()
                    idle.reschedule(heard_s + idle_s)
                await peer.receive(_content(message))
    except TimeoutError:
        raise DeadlineExceeded(f"nothing came for {idle_s:g} s (TEXTPRO_LIVE_IDLE_S)", code="live_idle") from None


def _content(message: Message) -> str | bytes:
    if message["type"] == "websocket.disconnect":
        # uvicorn's 1005 may be a client that is lost; one that closed has given a reason, if an empty one.
        raise WebSocketDisconnect(message["code"] if "reason" in message else LOST)
    text, data = message.get("text"), message.get("bytes")
    return text if text is not None else data or b""


async def _send(websocket: WebSocket, outbox: Outbox) -> NoReturn:
    while True:
        message = await outbox.get()
        if message is None:
            raise _Over
        if isinstance(message, bytes):
            await websocket.send_bytes(message)
        else:
            await websocket.send_text(message)
