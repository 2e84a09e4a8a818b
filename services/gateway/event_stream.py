"""Server-sent events of an answer, and what the answer holds until they end."""

import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.contracts.errors import Cancelled, outcome
from services.gateway.limits import Deadline
from textpro.errors import TextProError

log = logging.getLogger(__name__)
EVENT_STREAM = "text/event-stream"
DONE = "data: [DONE]\n\n"  # the last event of a stream of chunks
LAST_WORDS_S = 5.0  # after a turn's deadline: for the error event, and for a caller that reads slowly


class EventStream(StreamingResponse):
    """Owns what an answer holds (a seat, a generation) until it ends; `failure` writes an error as an event.

    It ends at `deadline` also when the caller keeps the connection and reads nothing.
    """

    def __init__(
        self,
        events: AsyncGenerator[str],
        failure: Callable[[Exception], str],
        held: AsyncExitStack,
        deadline: Deadline,
    ) -> None:
        self._body = self._lines(events, failure)
        super().__init__(
            self._body,
            media_type=EVENT_STREAM,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._held, self._deadline = held, deadline
        self._ended: TextProError | None = Cancelled("the caller hung up")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # How the answer ended is raised for what counts it; the caller has been told by then.
        with contextlib.suppress(TextProError):
            async with self._held, aclosing(self._body):
                await self._deadline.run(super().__call__(scope, receive, send))
                if self._ended is not None:
                    raise self._ended

    async def _lines(self, events: AsyncGenerator[str], failure: Callable[[Exception], str]) -> AsyncGenerator[str]:
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
            self._ended = None
        except Exception as error:  # the edge: the status line is gone, so the error becomes an event
            if outcome(error).http == 500:
                log.exception("a streamed answer failed")
            self._ended = error if isinstance(error, TextProError) else TextProError("unexpected error")
            yield failure(error)


def data_event(content: dict[str, Any]) -> str:
    """An event without a name, as OpenAI's streams have them."""
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
