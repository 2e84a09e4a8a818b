"""What waits to be sent to one client: bounded, so that a client that does not read costs nothing but itself."""

import asyncio
from typing import Any

from services.contracts.errors import Overloaded

Message = dict[str, Any] | bytes


class SlowReader(Overloaded):
    """The client does not take what it is sent."""

    code = "slow_reader"


class Outbox:
    """First in, first out. Whoever puts never waits; one message too many ends the connection."""

    def __init__(self, max_messages: int) -> None:
        self._waiting: asyncio.Queue[Message | None] = asyncio.Queue()
        self._max_messages = max_messages

    def put(self, message: Message) -> None:
        """Raises SlowReader when the client is too far behind."""
        if self._waiting.qsize() >= self._max_messages:
            raise SlowReader(f"{self._max_messages} messages wait to be read (TEXTPRO_MAX_OUTBOX)", retry_after_s=1)
        self._waiting.put_nowait(message)

    def end(self) -> None:
        """The connection ends once all this has been sent."""
        self._waiting.put_nowait(None)

    async def get(self) -> Message | None:
        """The next message; None: there are no more."""
        return await self._waiting.get()
