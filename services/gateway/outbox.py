"""What is said to one client: in order, numbered, bounded, and kept for a while, should the client come back for it."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from services.contracts.errors import NotFound, Overloaded

MAX_KEPT_BYTES = 2**20  # of what was sent already
Numbered = tuple[int, str | bytes]


class SlowReader(Overloaded):
    """The client does not take what it is sent."""

    code = "slow_reader"


class Outbox:
    """First in, first out; messages are numbered from 1. Whoever puts never waits; one message too many ends the call.

    `writes_ahead`: a message is given out only once `is_safe` was told of it.
    """

    def __init__(self, max_messages: int, *, kept: Iterable[Numbered] = (), writes_ahead: bool = False) -> None:
        self._max_messages = max_messages
        self._messages: deque[Numbered] = deque(kept)
        self._kept_bytes = 0
        self.last = self._messages[-1][0] if self._messages else 0
        self._sent = self._once = self._written = self._safe = self.last  # _once: sent once, and perhaps again
        self._writes_ahead, self._is_over = writes_ahead, False
        self._more, self._wanted = asyncio.Event(), asyncio.Event()

    def put(self, message: dict[str, Any] | bytes) -> None:
        """Raises SlowReader when the client is too far behind."""
        if self.last - self._once >= self._max_messages:
            raise SlowReader(f"{self._max_messages} messages wait to be read (TEXTPRO_MAX_OUTBOX)", retry_after_s=1)
        self.last += 1
        text = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        self._messages.append((self.last, text))
        self._wanted.set()
        if not self._writes_ahead:
            self.is_safe(self.last)

    async def get(self) -> str | bytes | None:
        """The next message; None: there are no more."""
        while self._sent == self._safe:
            if self._is_over and self._sent == self.last:
                return None
            self._more.clear()
            await self._more.wait()
        self._sent += 1
        self._once = max(self._once, self._sent)
        _, message = self._messages[self._sent - self._messages[0][0]]
        self._kept_bytes += len(message)
        while self._kept_bytes > MAX_KEPT_BYTES or self._n_kept() > self._max_messages:
            self._kept_bytes -= len(self._messages.popleft()[1])
        return message

    def end(self) -> None:
        """The connection ends once all this has been sent."""
        self._is_over = True
        self._more.set()

    def check(self, last_read: int) -> None:
        """Raises NotFound when what follows is not kept."""
        first = self._messages[0][0] if self._messages else self.last + 1
        if not first - 1 <= last_read <= self.last:
            message = f"messages {first} to {self.last} are kept; what follows {last_read} is not"
            raise NotFound(message, param="last_event_seq", code="resume_gap")

    def rewind(self, last_read: int) -> None:
        """The client has read up to here; what came after it is sent again. Raises NotFound when that is not kept."""
        self.check(last_read)
        self._sent = min(last_read, self._safe)
        self._kept_bytes = sum(len(text) for number, text in self._messages if number <= self._sent)
        self._more.set()

    async def unwritten(self) -> list[Numbered]:
        """What is to be written before it is given out: all of it, once there is some."""
        while self._written == self.last:
            self._wanted.clear()
            await self._wanted.wait()
        found = list(itertools.takewhile(lambda numbered: numbered[0] > self._written, reversed(self._messages)))
        self._written = self.last
        return found[::-1]

    def is_safe(self, last: int) -> None:
        """What was put up to this number may be given out."""
        self._safe = last
        self._more.set()

    def write_no_more(self) -> None:
        """From now on messages are given out as they come."""
        self._writes_ahead = False
        self.is_safe(self.last)

    def _n_kept(self) -> int:
        """Messages that were sent already."""
        return self._sent + 1 - self._messages[0][0] if self._messages else 0
