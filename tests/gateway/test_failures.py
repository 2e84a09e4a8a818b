"""When a neighbour fails: what the caller is told, and that the next call works."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.contracts.errors import Overloaded
from services.gateway.api import TurnStream
from services.gateway.chat import Delta, Event
from services.gateway.event_stream import EventStream
from services.gateway.limits import Deadline
from services.gateway.llm_client import HttpLlm, Sampling
from services.runtime.http import serving
from textpro.errors import AudioError

pytestmark = pytest.mark.anyio


async def test_an_encoder_killed_mid_way_gives_503_and_the_next_call_after_its_restart_works(house, recording) -> None:
    async with house() as here:
        here.encoder.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            cut = tasks.create_task(here.chat(recording()))
            await here.encoder.entered.acquire()
            await here.encoder.stop()
        assert (cut.result().status_code, cut.result().json()["error"]["code"]) == (503, "unavailable")
        assert int(cut.result().headers["retry-after"]) >= 1
        here.encoder.gate.set()
        await here.encoder.start()
        assert (await here.chat(recording(70))).json()["transcript"] == "number 70"


async def test_a_full_encoder_is_passed_on_as_429_with_its_own_time_to_retry(house, recording) -> None:
    async with house() as here:
        here.encoder.error = Overloaded("64 requests wait", retry_after_s=7)
        answer = await here.chat(recording())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert len(here.encoder.requests) == 1  # not tried again: a full queue is not helped by more


async def test_what_the_encoder_says_of_the_audio_reaches_the_caller(house, recording) -> None:
    async with house() as here:
        here.encoder.error = AudioError("this can't be speech")
        answer = await here.chat(recording())
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "this can't be speech")


async def test_an_encoder_that_answers_too_late_is_not_waited_for(house, recording) -> None:
    async with house(encode_timeout_s=0.2) as here:
        here.encoder.gate.clear()
        answer = await here.chat(recording())
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


async def test_without_an_llm_the_answer_is_503_with_a_time(house, recording, unused_url) -> None:
    async with house(llm_url=unused_url) as here:
        answer = await here.chat(recording())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ((429, {"message": "full"}, {"retry-after": "5"}), 429),
        ((503, {"message": "loading"}, {}), 503),
        ((500, {"message": "broken"}, {}), 503),
        ((400, {"message": "no such part"}, {}), 400),
        ((404, "no such model", {}), 400),
    ],
)
async def test_a_refusal_of_the_llm_is_translated(house, recording, refusal, status) -> None:
    async with house() as here:
        here.llm.refusal = refusal
        answer = await here.chat(recording())
        here.llm.refusal = None
        assert (await here.chat(recording())).status_code == 200
    assert answer.status_code == status
    assert answer.headers.get("retry-after", "5") in ("5", "2")


@pytest.mark.parametrize("models", [["x"], {"data": {"a": 1}}, {"data": ["a"]}, {"data": [{"max_model_len": "many"}]}])
async def test_a_list_of_models_in_another_shape_leaves_the_context_unknown(models) -> None:
    app = FastAPI()

    @app.get("/v1/models")
    async def answer() -> Any:
        return models

    async with serving(app, "127.0.0.1", 0, drain_s=1) as port:
        llm = HttpLlm(f"http://127.0.0.1:{port}", "textpro", max_connections=1)
        assert (await llm.profile()).context_tokens is None
        await llm.close()


async def test_an_answer_that_breaks_off_is_an_error_and_is_not_kept(house, recording) -> None:
    async with house() as here:
        here.llm.breaks_off = True
        whole = await here.chat(recording())
        events = await here.events(recording())
        kept = (await here.http.get(f"/v1/sessions/{events[0][1]['session_id']}")).json()
    assert whole.status_code == 503
    assert [name for name, _ in events] == ["transcript", "delta", "error"]
    assert events[-1][1]["error"]["code"] == "unavailable"
    assert kept["turns"] == []


@pytest.mark.parametrize("store", ["memory", "redis"])
@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_caller_that_hangs_up_aborts_the_generation_and_leaves_seat_and_session_free(
    house, recording, redis_url, store, stream
) -> None:
    async with house(max_turns=1, redis_url=redis_url if store == "redis" else None) as here:
        session_id = (await here.chat(recording())).json()["session_id"]
        await here.llm.waiting.acquire()
        here.llm.gate.clear()
        params = {"stream": stream, "session_id": session_id}
        async with asyncio.TaskGroup() as tasks:
            turn = tasks.create_task(here.http.post("/v1/chat", params=params, content=recording()))
            await here.llm.waiting.acquire()
            turn.cancel()
        await asyncio.wait_for(here.llm.aborted.wait(), 10)
        here.llm.gate.set()

        async def is_free() -> bool:
            return (await here.chat(recording(), session_id=session_id)).status_code == 200

        await here.until(is_free)
        metrics = (await here.http.get("/metrics")).text
    assert 'textpro_turns_total{outcome="interrupted",service="gateway"} 1.0' in metrics


@pytest.mark.parametrize("whole", [True, False], ids=["read", "left"])
async def test_what_reads_an_answer_is_closed_with_it_and_not_by_the_garbage_collector(house, whole) -> None:
    async with house() as here:
        llm = HttpLlm(here.llm.url, "textpro", max_connections=1)
        async with llm.reply([{"role": "user", "content": "Hi"}], Sampling(9), Deadline.after(10)) as reply:
            async for _ in reply.pieces:
                if not whole:
                    break
        await llm.close()
    assert [stream.ag_frame for stream in (reply.pieces, reply.deltas, reply.chunks)] == [None] * 3


async def test_an_answer_s_events_are_closed_when_the_caller_hangs_up() -> None:
    closed, comes = [], asyncio.Event()

    async def events() -> AsyncGenerator[str]:
        try:
            yield "data: 1\n\n"
        finally:
            closed.append("events")

    async def receive() -> Any:
        await comes.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            comes.set()
            await asyncio.Event().wait()

    async with AsyncExitStack() as held:
        held.callback(closed.append, "held")
        stream = EventStream(events(), str, held.pop_all(), Deadline.after(10))
    await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert closed == ["events", "held"]


async def test_a_caller_that_keeps_the_line_and_reads_nothing_holds_its_turn_no_longer_than_the_deadline() -> None:
    ended = []

    async def stuck(*_: object) -> Any:
        await asyncio.Event().wait()

    async def events() -> AsyncIterator[Event]:
        yield Delta("more")

    async with AsyncExitStack() as held:
        held.callback(ended.append, "free")
        stream = TurnStream(Delta("first"), events(), held.pop_all(), Deadline.after(0.05))
    async with asyncio.timeout(10):
        await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, stuck, stuck)
    assert ended == ["free"]


async def test_readiness_names_what_is_missing_and_finds_it_again(house) -> None:
    async with house() as here:

        async def ready() -> bool:
            return (await here.http.get("/readyz")).status_code == 200

        async def encoder_lost() -> bool:
            answer = await here.http.get("/readyz")
            return answer.status_code == 503 and "does not answer" in answer.json()["dependencies"]["encoder"]

        await here.until(ready)
        await here.encoder.stop()
        await here.until(encoder_lost)
        states = (await here.http.get("/readyz")).json()["dependencies"]
        assert (states["llm"], states["store"]) == ("ok", "ok")
        await here.encoder.start()
        await here.until(ready)


async def test_a_lost_redis_gives_503_and_is_found_again(house, recording, own_redis) -> None:
    async with house(redis_url=own_redis.url) as here:
        assert (await here.chat(recording())).status_code == 200
        own_redis.stop()
        answer = await here.chat(recording())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        own_redis.start()
        assert (await here.chat(recording())).status_code == 200


async def test_sigterm_ends_the_process_cleanly(unused_url) -> None:
    port = unused_url.rsplit(":", 1)[1]
    process = await asyncio.create_subprocess_exec(
        "env", f"TEXTPRO_PORT={port}", "TEXTPRO_LOG_FORMAT=text", sys.executable, "-m", "services.gateway"
    )  # fmt: skip
    async with httpx.AsyncClient() as http, asyncio.timeout(30):
        while True:
            try:
                answer = await http.get(f"{unused_url}/healthz")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0)
    assert answer.json() == {"status": "ok"}
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 30) == 0
