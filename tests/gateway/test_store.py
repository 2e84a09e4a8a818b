"""One contract, two stores: in memory, and in a real Redis."""

import asyncio
import json

import pytest
from redis.asyncio import Redis

from services.contracts.errors import Overloaded, SessionNotFound, Unavailable
from services.gateway.redis_client import connect
from services.gateway.redis_store import RedisStore
from services.gateway.session import Prosody, Turn
from services.gateway.store import MemoryStore, Store, StoreLimits
from tests.gateway.conftest import OwnRedis

pytestmark = pytest.mark.anyio


def turn(text: str = "hello", prosody: Prosody | None = None) -> Turn:
    return Turn(turn_id=f"t_{text}", transcript=text, reply=f"{text}, too", prosody=prosody, created_s=1.5)


async def exists(store: Store, session_id: str) -> bool:
    try:
        await store.get(session_id)
    except SessionNotFound:
        return False
    return True


@pytest.fixture(params=["memory", "redis"])
async def open_store(request, redis_url):
    """`open_store(**limits)`: an empty store of either kind."""
    opened = []

    async def open_one(**limits):
        chosen = StoreLimits(**limits)
        if request.param == "memory":
            store = MemoryStore(chosen)
        else:
            async with Redis.from_url(redis_url) as redis:
                await redis.flushdb()
            redis = connect(redis_url, max_connections=8)
            opened.append(redis)
            store = RedisStore(redis, chosen)
        return store

    yield open_one
    for redis in opened:
        await redis.aclose()


async def test_what_was_appended_is_read_back_the_same_and_numbered(open_store) -> None:
    store = await open_store()
    vector = Prosody("AAAA/+8=", (1, 4), "b1")
    await store.create("a", "Be kind. Grüße, 世界")
    await store.append("a", turn("one", vector), "Be kind. Grüße, 世界")
    await store.append("a", turn("zwei: ä\n\x00"), "New.")
    session = await store.get("a")
    assert session.instructions == "New."
    assert [(kept.transcript, kept.number, kept.prosody) for kept in session.turns] == [
        ("one", 0, vector),
        ("zwei: ä\n\x00", 1, None),
    ]


async def test_a_new_session_is_empty_and_lives_its_time(open_store) -> None:
    store = await open_store(ttl_s=100)
    created = await store.create("a", "x")
    assert (created.turns, created.instructions) == ([], "x")
    assert 99 < (await store.get("a")).expires_in_s <= 100


async def test_sessions_that_live_are_counted(open_store) -> None:
    store = await open_store()
    for name in "ab":
        await store.create(name, "")
    await store.delete("a")
    assert await store.count() == 1


async def test_a_session_is_forgotten_when_its_time_is_over(open_store) -> None:
    store = await open_store(ttl_s=0.05)
    await store.create("a", "")
    async with asyncio.timeout(10):
        while await exists(store, "a"):  # noqa: ASYNC110
            await asyncio.sleep(0)  # memory answers at once and would never let the clock's alarm through
    await store.create("b", "")


async def test_the_oldest_turns_beyond_the_limit_go_and_numbers_stay(open_store) -> None:
    store = await open_store(max_turns=2)
    await store.create("a", "")
    for text in ("one", "two", "three"):
        await store.append("a", turn(text), "")
    assert [(kept.transcript, kept.number) for kept in (await store.get("a")).turns] == [("two", 1), ("three", 2)]


async def test_a_deleted_session_stays_gone_and_a_late_turn_does_not_bring_it_back(open_store) -> None:
    store = await open_store()
    await store.create("a", "")
    await store.append("a", turn(), "")
    await store.delete("a")
    for attempt in (store.get("a"), store.delete("a"), store.append("a", turn(), "")):
        with pytest.raises(SessionNotFound):
            await attempt


async def test_sessions_do_not_see_each_other(open_store) -> None:
    store = await open_store()
    await store.create("a", "for a")
    await store.create("b", "for b")
    await store.append("a", turn("secret"), "for a")
    assert (await store.get("b")).turns == []


@pytest.mark.parametrize("name", ["index", "a:turns", "turns:a", "fields:a", "lock:a", ""])
async def test_an_id_that_somebody_made_up_reaches_nothing_of_the_store(open_store, name) -> None:
    store = await open_store()
    await store.create("a", "")
    await store.append("a", turn(), "")
    for attempt in (store.get(name), store.delete(name), store.append(name, turn(), "")):
        with pytest.raises(SessionNotFound):
            await attempt
    assert await store.count() == len((await store.get("a")).turns) == 1


async def test_one_session_too_many_is_refused_until_one_goes(open_store) -> None:
    store = await open_store(max_sessions=2, ttl_s=50)
    await store.create("a", "")
    await store.create("b", "")
    with pytest.raises(Overloaded) as refused:
        await store.create("c", "")
    assert 40 < refused.value.retry_after_s <= 50
    await store.delete("a")
    await store.create("c", "")


async def test_an_exclusive_block_keeps_others_out_until_it_ends(open_store) -> None:
    store = await open_store()
    order = []

    async def second() -> None:
        async with store.exclusive("a", 10):
            order.append("second")

    async with asyncio.TaskGroup() as tasks, store.exclusive("a", 0):
        tasks.create_task(second())
        async with store.exclusive("b", 0):
            order.append("another session")
        with pytest.raises(Overloaded) as refused:
            async with store.exclusive("a", 0.02):
                order.append("never")
        order.append("first")
    assert order == ["another session", "first", "second"]
    assert refused.value.code == "session_busy"


async def test_a_failure_inside_an_exclusive_block_frees_the_session(open_store) -> None:
    store = await open_store()
    with pytest.raises(ValueError, match="inside"):
        async with store.exclusive("a", 0):
            raise ValueError("inside")
    async with store.exclusive("a", 0):
        pass


async def test_who_hangs_up_while_redis_takes_the_lock_keeps_nobody_out(own_redis: OwnRedis) -> None:
    async def turn_of_one() -> None:
        async with store.exclusive("a", 0):
            pass

    async with connect(own_redis.url, max_connections=8) as redis:
        store = RedisStore(redis, StoreLimits())
        await turn_of_one()
        own_redis.freeze()
        turn = asyncio.create_task(turn_of_one())
        for _ in range(100):
            await asyncio.sleep(0)  # it is asked for now
        turn.cancel()
        own_redis.thaw()
        await asyncio.wait([turn])
        await turn_of_one()


async def test_a_redis_that_is_not_there_is_unavailable(unused_url) -> None:
    redis = connect(unused_url.replace("http", "redis"), max_connections=2)
    store = RedisStore(redis, StoreLimits())
    for attempt in (store.count(), store.get("a"), store.create("a", ""), store.append("a", turn(), "")):
        with pytest.raises(Unavailable):
            await attempt
    await redis.aclose()


def test_a_vector_that_was_kept_without_its_encoder_is_of_an_unknown_one() -> None:
    kept = json.loads(turn("one", Prosody("AAAA/+8=", (1, 4), "b1")).to_json())
    del kept["prosody"]["encoder"]
    assert Turn.from_json(json.dumps(kept), 0).prosody == Prosody("AAAA/+8=", (1, 4), "")
