"""Where conversations live: the Protocol, and the implementation in memory (redis_store.py has the other)."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from services.contracts.errors import Overloaded, SessionNotFound
from services.gateway.session import Session, Turn


@dataclass(frozen=True)
class StoreLimits:
    """ttl_s: a session's life after its last turn. max_turns: kept of one session. lease_s: the longest an exclusive
    block may take; after that others may enter."""

    ttl_s: float = 3600.0
    max_sessions: int = 10_000
    max_turns: int = 50
    lease_s: float = 150.0


class Store(Protocol):
    """Sessions with a time to live. Each method raises Unavailable when the store does not answer."""

    async def create(self, session_id: str, instructions: str) -> Session:
        """A new, empty session. Raises Overloaded when there are as many as are allowed."""
        ...

    async def get(self, session_id: str) -> Session:
        """Raises SessionNotFound for one that never was, was deleted or has expired."""
        ...

    async def append(self, session_id: str, turn: Turn, instructions: str) -> None:
        """Adds a turn and starts the time to live anew; the oldest turns beyond the limit go.

        Raises SessionNotFound when it was deleted in the meantime: a turn does not bring a session back.
        """
        ...

    async def delete(self, session_id: str) -> None:
        """Raises SessionNotFound."""
        ...

    def exclusive(self, session_id: str, wait_s: float) -> AbstractAsyncContextManager[None]:
        """One caller at a time for each session; the session need not exist. Raises Overloaded after `wait_s`."""
        ...

    async def count(self) -> int:
        """How many sessions live."""
        ...


def not_found(session_id: str) -> SessionNotFound:
    return SessionNotFound(
        f"session {session_id[:64]!r} does not exist or has expired; leave out session_id to start a new one",
        param="session_id",
    )


def busy(session_id: str) -> Overloaded:
    return Overloaded(
        f"session {session_id!r} is still answering its last turn; send one turn at a time",
        param="session_id",
        code="session_busy",
        retry_after_s=1,
    )


def full(max_sessions: int, retry_after_s: float) -> Overloaded:
    return Overloaded(
        f"{max_sessions} sessions are kept, no more fit (TEXTPRO_MAX_SESSIONS)",
        code="too_many_sessions",
        retry_after_s=max(1.0, math.ceil(retry_after_s)),
    )


@dataclass
class _Kept:
    instructions: str
    expires_s: float
    turns: list[Turn] = field(default_factory=list)
    n_turns: int = 0


@dataclass
class _Door:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    n_users: int = 0


class MemoryStore:
    """Sessions of one process; they end with it."""

    def __init__(self, limits: StoreLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._sessions: dict[str, _Kept] = {}  # in the order of their expiry: every one has the same time to live
        self._doors: dict[str, _Door] = {}

    async def create(self, session_id: str, instructions: str) -> Session:
        self._forget_expired()
        if len(self._sessions) >= self._limits.max_sessions:
            soonest_s = next(iter(self._sessions.values())).expires_s
            raise full(self._limits.max_sessions, soonest_s - self._clock())
        self._sessions[session_id] = _Kept(instructions, self._clock() + self._limits.ttl_s)
        return await self.get(session_id)

    async def get(self, session_id: str) -> Session:
        kept = self._kept(session_id)
        return Session(session_id, kept.instructions, list(kept.turns), kept.expires_s - self._clock())

    async def append(self, session_id: str, turn: Turn, instructions: str) -> None:
        kept = self._kept(session_id)
        kept.turns = [*kept.turns, replace(turn, number=kept.n_turns)][-self._limits.max_turns :]
        kept.n_turns += 1
        kept.instructions = instructions
        kept.expires_s = self._clock() + self._limits.ttl_s
        self._sessions[session_id] = self._sessions.pop(session_id)

    async def delete(self, session_id: str) -> None:
        self._kept(session_id)
        del self._sessions[session_id]

    @asynccontextmanager
    async def exclusive(self, session_id: str, wait_s: float) -> AsyncIterator[None]:
        door = self._doors.setdefault(session_id, _Door())
        door.n_users += 1
        try:
            try:
                async with asyncio.timeout(wait_s):  # and not wait_for, which refuses a free lock when wait_s is 0
                    await door.lock.acquire()
            except TimeoutError:
                raise busy(session_id) from None
            try:
                yield
            finally:
                door.lock.release()
        finally:
            door.n_users -= 1
            if not door.n_users:
                del self._doors[session_id]

    async def count(self) -> int:
        self._forget_expired()
        return len(self._sessions)

    def _kept(self, session_id: str) -> _Kept:
        self._forget_expired()
        if session_id not in self._sessions:
            raise not_found(session_id)
        return self._sessions[session_id]

    def _forget_expired(self) -> None:
        now_s = self._clock()
        while self._sessions and next(iter(self._sessions.values())).expires_s <= now_s:
            del self._sessions[next(iter(self._sessions))]
