"""Refusing an upload so that the refusal is heard.

A server that answers and closes while the client still sends makes the client's network stack drop the answer
("connection reset"): who sends 100 MB would never read the 413. So the rest is read and thrown away first, in bounds.
"""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DISCARD_BYTES = 256 * 2**20
DISCARD_S = 10.0


class Lingering:
    """ASGI middleware, the outermost (`serving` adds it): an answer that comes before the end of the request's body
    waits for that end."""

    def __init__(self, app: ASGIApp, discard_bytes: int = DISCARD_BYTES, discard_s: float = DISCARD_S) -> None:
        self._app = app
        self._discard_bytes = discard_bytes
        self._discard_s = discard_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            return await self._app(scope, receive, send)
        if headers.get("expect", "").lower() == "100-continue":
            return await self._app(scope, receive, send)  # it waits to hear whether to send at all
        ended = False

        async def watched() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or not message.get("more_body", False)
            return message

        async def after_the_body(message: Message) -> None:
            if message["type"] == "http.response.start" and not ended:
                await self._discard(watched, lambda: ended)
            await send(message)

        await self._app(scope, watched, after_the_body)

    async def _discard(self, receive: Receive, ended: Callable[[], bool]) -> None:
        n_bytes = 0
        try:
            async with asyncio.timeout(self._discard_s):
                while not ended() and n_bytes < self._discard_bytes:
                    n_bytes += len((await receive()).get("body", b""))
        except TimeoutError:
            return  # too slow: then it may miss the answer
