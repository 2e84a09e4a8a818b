"""What waits for one client, and what is kept of what it was sent."""

import json

import pytest

from services.contracts.errors import NotFound
from services.gateway.outbox import MAX_KEPT_BYTES, Outbox, SlowReader

pytestmark = pytest.mark.anyio


async def sent(outbox: Outbox, n_messages: int) -> list[int]:
    return [json.loads(await outbox.get())["n"] for _ in range(n_messages)]


def full(n_messages: int, **options: bool) -> Outbox:
    outbox = Outbox(n_messages, **options)
    for number in range(1, n_messages + 1):
        outbox.put({"n": number})
    return outbox


async def test_what_a_client_has_not_read_is_sent_again() -> None:
    outbox = full(5)
    assert await sent(outbox, 5) == [1, 2, 3, 4, 5]
    outbox.rewind(3)
    outbox.put({"n": 6})
    assert await sent(outbox, 3) == [4, 5, 6]


async def test_what_is_sent_again_is_not_counted_as_waiting() -> None:
    outbox = full(3)
    await sent(outbox, 3)
    for number in (4, 5):
        outbox.put({"n": number})
    outbox.rewind(0)
    outbox.put({"n": 6})
    with pytest.raises(SlowReader):
        outbox.put({"n": 7})
    assert await sent(outbox, 6) == [1, 2, 3, 4, 5, 6]


async def test_so_much_may_wait_and_no_more() -> None:
    outbox = full(3)
    with pytest.raises(SlowReader):
        outbox.put({"n": 4})
    await outbox.get()
    outbox.put({"n": 4})


async def test_so_much_is_kept_and_no_more() -> None:
    outbox = full(3)
    await sent(outbox, 3)
    outbox.put({"n": 4})
    await sent(outbox, 1)
    outbox.check(1)
    with pytest.raises(NotFound):
        outbox.check(0)
    with pytest.raises(NotFound):
        outbox.rewind(5)


async def test_long_messages_are_not_kept_for_long() -> None:
    outbox = Outbox(100)
    for _ in range(3):
        outbox.put(bytes(MAX_KEPT_BYTES // 2))
        await outbox.get()
    outbox.check(1)
    with pytest.raises(NotFound):
        outbox.check(0)


async def test_what_is_not_written_is_not_given_out() -> None:
    outbox = full(3, writes_ahead=True)
    written = await outbox.unwritten()
    assert [number for number, _ in written] == [1, 2, 3]
    outbox.is_safe(2)
    assert await sent(outbox, 2) == [1, 2]
    outbox.put({"n": 4})
    assert [number for number, _ in await outbox.unwritten()] == [4]
    outbox.rewind(0)
    assert await sent(outbox, 2) == [1, 2]


async def test_where_nothing_can_be_written_all_is_given_out() -> None:
    outbox = full(2, writes_ahead=True)
    outbox.write_no_more()
    assert await sent(outbox, 2) == [1, 2]
    outbox.put({"n": 3})
    assert await sent(outbox, 1) == [3]


async def test_another_gateway_goes_on_counting() -> None:
    outbox = Outbox(10, kept=[(7, '{"n": 7}'), (8, '{"n": 8}')], writes_ahead=True)
    outbox.rewind(6)
    assert await sent(outbox, 2) == [7, 8]
    outbox.put({"n": 9})
    assert outbox.last == 9
