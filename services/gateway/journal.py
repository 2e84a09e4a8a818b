"""What a live session leaves behind in Redis, so that another gateway can go on with it when this one dies.

A call is two keys with one time to live: a stream of the messages that its client was sent, by their numbers, and a
hash of its state: the conversation's items one by one, the rest as JSON, and the *epoch*, which counts the gateways
that had it. Whoever takes a call over counts on, and from then on nothing that the one before writes is taken.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from services.contracts.errors import NotFound, TakenOver, Unavailable
from services.gateway.conversation import Item
from services.gateway.outbox import Numbered
from services.gateway.redis_client import PREFIX, answering

ITEM = "item:"
TEXT, SOUND = b"t", b"s"  # of a message in the stream

# KEYS: hash, stream. ARGV: epoch, time to live in ms, most messages kept, number of messages, then each message's
# number and content, then the hash's fields and values.
_APPEND = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return -1 end
if epoch ~= ARGV[1] then return 0 end
local at = 5
for _ = 1, tonumber(ARGV[4]) do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], ARGV[at] .. '-0', 'm', ARGV[at + 1])
  at = at + 2
end
while at < #ARGV do
  if ARGV[at + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[at])
  else redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
  at = at + 2
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
_TAKE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
return {epoch, redis.call('HGETALL', KEYS[1]), redis.call('XRANGE', KEYS[2], '-', '+')}
"""
_DROP = """
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2]) end
"""


@dataclass(frozen=True)
class State:
    """A live session between two messages. facts: JSON; what they are is the session's own matter."""

    facts: dict[str, Any]
    items: list[Item]


@dataclass(frozen=True)
class Kept:
    """A call as it was left. messages: the last of those that its client was sent."""

    state: State
    messages: list[Numbered]


@dataclass
class Entry:
    """One call's place in the journal, as long as this gateway has it."""

    journal: "RedisJournal"
    token: str
    epoch: int
    _written: dict[str, Item] = field(default_factory=dict)

    async def append(self, messages: list[Numbered], state: State) -> None:
        """Raises TakenOver; Unavailable when Redis does not answer, or has forgotten the call."""
        items = {item.id: item for item in state.items}
        changed = {ITEM + name: item.to_json() for name, item in items.items() if self._written.get(name) is not item}
        gone = {ITEM + name: "" for name in self._written.keys() - items.keys()}
        facts = json.dumps(state.facts | {"order": list(items)}, ensure_ascii=False, separators=(",", ":"))
        await self.journal.append(self.token, self.epoch, messages, {"facts": facts, **changed, **gone})
        self._written = items

    async def close(self) -> None:
        """The call has ended; nobody will go on with it."""
        await self.journal.drop(self.token, self.epoch)


class RedisJournal:
    """The calls of all gateways with the same Redis. ttl_s: how long one is kept after the last word of its gateway."""

    def __init__(self, redis: Redis, *, ttl_s: float, max_messages: int) -> None:
        self._redis = redis
        self.ttl_s, self._max_messages = ttl_s, max_messages
        self._append = redis.register_script(_APPEND)
        self._take = redis.register_script(_TAKE)
        self._drop = redis.register_script(_DROP)

    async def open(self, token: str) -> Entry:
        """A new call. Raises Unavailable."""
        call, _ = _keys(token)
        with answering():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(call, "epoch", "1")
                pipeline.pexpire(call, round(1000 * self.ttl_s))
                await pipeline.execute()
        return Entry(self, token, 1)

    async def take(self, token: str) -> tuple[Entry, Kept]:
        """A call that another gateway had. Raises NotFound, Unavailable."""
        with answering():
            found = await self._take(keys=_keys(token), args=[])
        fields = dict(zip(found[1][::2], found[1][1::2], strict=True)) if found else {}
        if b"facts" not in fields:
            raise not_found()
        facts = json.loads(fields[b"facts"])
        items = [Item.from_json(fields[f"{ITEM}{name}".encode()]) for name in facts.pop("order")]
        messages = [(int(number.split(b"-")[0]), _message(content)) for number, (_, content) in found[2]]
        entry = Entry(self, token, found[0], {item.id: item for item in items})
        return entry, Kept(State(facts, items), messages)

    async def append(self, token: str, epoch: int, messages: list[Numbered], fields: dict[str, str]) -> None:
        """Messages and fields in one step; an empty field goes. Raises TakenOver, Unavailable."""
        said = [part for number, message in messages for part in (number, _content(message))]
        changed = [part for pair in fields.items() for part in pair]
        arguments = [epoch, round(1000 * self.ttl_s), self._max_messages, len(messages), *said, *changed]
        with answering():
            ours = await self._append(keys=_keys(token), args=arguments)
        if ours < 0:  # it was full, or began anew
            raise Unavailable("Redis has forgotten this call")
        if not ours:
            raise TakenOver("another connection goes on with this call")

    async def drop(self, token: str, epoch: int) -> None:
        """Unless another gateway has it by now. Raises Unavailable."""
        with answering():
            await self._drop(keys=_keys(token), args=[epoch])


def not_found() -> NotFound:
    return NotFound("there is no such call to go on with", param="resume_token", code="call_not_found")


def _keys(token: str) -> list[str]:
    return [f"{PREFIX}call:{token}", f"{PREFIX}messages:{token}"]


def _content(message: str | bytes) -> bytes:
    return SOUND + message if isinstance(message, bytes) else TEXT + message.encode()


def _message(content: bytes) -> str | bytes:
    return content[1:] if content[:1] == SOUND else content[1:].decode()
