"""Conversations in Redis: a gateway may die, and the next one goes on with them.

A session is two keys with one time to live: a hash (instructions, number of turns so far) and a list of turns as JSON.
A sorted set of all sessions by expiry bounds their number. Times are Redis's own: gateways need not agree on the clock.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway.redis_client import PREFIX, TIMEOUT_S, answering
from services.gateway.session import Session, Turn
from services.gateway.store import StoreLimits, busy, full, not_found

INDEX = f"{PREFIX}index"
LOCK_POLL_S = 0.02

# The scripts make check and change one step. KEYS: index, hash, turns. Times in milliseconds.
_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
_CREATE = f"""{_NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return math.max(0, redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] - now)
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], 'instructions', ARGV[4], 'turns', 0)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return -1
"""
_APPEND = f"""{_NOW}
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'instructions', ARGV[5])
redis.call('HINCRBY', KEYS[2], 'turns', 1)
redis.call('RPUSH', KEYS[3], ARGV[4])
redis.call('LTRIM', KEYS[3], -ARGV[2], -1)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
return 1
"""
_COUNT = f"{_NOW} return redis.call('ZCOUNT', KEYS[1], now, '+inf')"
_DELETE = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[3])
return redis.call('DEL', KEYS[2])
"""


class RedisStore:
    """Sessions that every gateway with the same Redis shares."""

    def __init__(self, redis: Redis, limits: StoreLimits) -> None:
        self._redis = redis
        self._limits = limits
        self._create = redis.register_script(_CREATE)
        self._append = redis.register_script(_APPEND)
        self._delete = redis.register_script(_DELETE)
        self._count = redis.register_script(_COUNT)

    async def create(self, session_id: str, instructions: str) -> Session:
        arguments = [session_id, self._limits.max_sessions, self._ttl_ms, instructions]
        with answering():
            retry_after_ms = int(await self._create(keys=_keys(session_id), args=arguments))
        if retry_after_ms >= 0:
            raise full(self._limits.max_sessions, retry_after_ms / 1000)
        return Session(session_id, instructions, [], self._limits.ttl_s)

    async def get(self, session_id: str) -> Session:
        _, fields, turns = _keys(session_id)
        with answering():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hgetall(fields)
                pipeline.lrange(turns, 0, -1)
                pipeline.pttl(fields)
                kept, texts, ttl_ms = await pipeline.execute()
        if not kept:
            raise not_found(session_id)
        first = int(kept[b"turns"]) - len(texts)
        history = [Turn.from_json(text, first + i) for i, text in enumerate(texts)]
        return Session(session_id, kept[b"instructions"].decode(), history, ttl_ms / 1000)

    async def append(self, session_id: str, turn: Turn, instructions: str) -> None:
        arguments = [session_id, self._limits.max_turns, self._ttl_ms, turn.to_json(), instructions]
        with answering():
            existed = await self._append(keys=_keys(session_id), args=arguments)
        if not existed:
            raise not_found(session_id)

    async def delete(self, session_id: str) -> None:
        with answering():
            existed = await self._delete(keys=_keys(session_id), args=[session_id])
        if not existed:
            raise not_found(session_id)

    @asynccontextmanager
    async def exclusive(self, session_id: str, wait_s: float) -> AsyncIterator[None]:
        lock = self._redis.lock(
            f"{PREFIX}lock:{session_id}",
            timeout=self._limits.lease_s,
            sleep=LOCK_POLL_S,
            blocking_timeout=wait_s,
            thread_local=False,
        )
        token = secrets.token_bytes(16)
        try:
            with answering():
                if not await lock.acquire(token=token):
                    raise busy(session_id)
            yield
        finally:
            # Shielded: a caller that hung up, also while asking, must not leave the lock behind. A lease that ran
            # out, or a Redis that is gone, releases it by itself; somebody else's stays.
            with anyio.move_on_after(TIMEOUT_S, shield=True), suppress(RedisError, OSError):
                await lock.do_release(token)

    async def count(self) -> int:
        with answering():
            return await self._count(keys=[INDEX])

    @property
    def _ttl_ms(self) -> int:
        return max(1, round(self._limits.ttl_s * 1000))


def _keys(session_id: str) -> list[str]:
    # The kind stands before the id: no id that a caller makes up is another's key, or the index.
    return [INDEX, f"{PREFIX}fields:{session_id}", f"{PREFIX}turns:{session_id}"]
