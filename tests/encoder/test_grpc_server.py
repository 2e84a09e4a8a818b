"""The gRPC door, over a real channel."""

import asyncio

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.contracts import encoder_pb2
from services.contracts.errors import Overloaded, Unavailable
from services.contracts.status import error_of
from services.encoder.worker import ModelBroken
from textpro.errors import AudioError, AudioTooLong, TextProError

pytestmark = pytest.mark.anyio
TOKENS, POOLED, NONE = (
    encoder_pb2.PROSODY_KIND_TOKENS,
    encoder_pb2.PROSODY_KIND_POOLED,
    encoder_pb2.PROSODY_KIND_NONE,
)


def rows(array) -> np.ndarray:
    return np.frombuffer(array.data, dtype="<f2").reshape(array.shape)


async def refused(call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_thirty_two_callers_at_once_get_their_own_answers(ready, engine) -> None:
    async with ready(engine) as client:
        answers = await asyncio.gather(*(client.encode(k, seconds=0.2 + k % 5, prosody=TOKENS) for k in range(1, 33)))
    for k, answer in enumerate(answers, 1):
        assert answer.text == f"number {k}"
        assert len(answer.tokens) == k
        assert rows(answer.prosody).shape == (k, 4)
        assert rows(answer.prosody)[0, 0] == k
        assert answer.fingerprint == "fake"
        assert [stage.name for stage in answer.stages] == ["queue", "features", "encode", "decode", "prosody"]
    assert max(map(len, engine.batches)) <= 16


async def test_pooled_prosody_is_the_mean_of_the_token_rows(ready, engine) -> None:
    async with ready(engine) as client:
        tokens = rows((await client.encode(7, prosody=TOKENS)).prosody)
        pooled = rows((await client.encode(7, prosody=POOLED)).prosody)
    np.testing.assert_allclose(pooled, tokens.astype(np.float32).mean(axis=0, keepdims=True))


async def test_prosody_is_absent_when_not_asked_for_or_nothing_was_said(ready, engine) -> None:
    async with ready(engine) as client:
        assert not (await client.encode(3, prosody=NONE)).HasField("prosody")
        silent = await client.encode(0, prosody=POOLED)
        assert not silent.HasField("prosody")
        assert silent.no_speech_reason == "silence"
        assert await client.metric('textpro_no_speech_total{reason="silence",service="encoder"}') == 1


async def test_the_language_asked_for_reaches_the_model(ready, engine) -> None:
    async with ready(engine) as client:
        assert (await client.encode(2, language="de")).language == "de"


@pytest.mark.parametrize(
    ("fields", "kind", "part"),
    [
        ({"pcm16": b""}, AudioError, "empty"),
        ({"pcm16": b"\0\0\0"}, AudioError, "odd"),
        ({"pcm16": b"\0\0" * 32_000}, AudioTooLong, "TEXTPRO_ENCODER_MAX_SECONDS"),
        ({"pcm16": b"\0\0" * 160, "prosody": 9}, TextProError, "prosody is 9"),
        ({"pcm16": b"\0\0" * 160, "language": "no such"}, TextProError, "ISO 639-1"),
    ],
)
async def test_what_cannot_be_used_is_an_invalid_argument_that_says_why(ready, engine, fields, kind, part) -> None:
    async with ready(engine, max_seconds=1.5) as client:
        error = await refused(client.stub.Encode(encoder_pb2.EncodeRequest(**fields)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(error_of(error), kind)
    assert part in str(error_of(error))
    assert engine.batches == []


async def test_a_full_queue_answers_resource_exhausted_with_a_time_to_retry(ready, engine) -> None:
    async with ready(engine, queue=1, max_batch=1, max_wait_ms=0) as client, asyncio.TaskGroup() as tasks:
        engine.gate.clear()
        tasks.create_task(client.encode(1), name="runs")
        await engine.running()
        others = [asyncio.ensure_future(client.encode(k)) for k in (2, 3)]
        done, waiting = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        error = await refused(done.pop())
        engine.gate.set()
        assert (await waiting.pop()).text.startswith("number")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    ours = error_of(error)
    assert isinstance(ours, Overloaded)
    assert ours.code == "overloaded"
    assert (ours.retry_after_s or 0) > 0


async def test_a_finished_utterance_takes_the_place_of_a_partial_one(ready, engine) -> None:
    async with ready(engine, queue=1, max_batch=1, max_wait_ms=0) as client, asyncio.TaskGroup() as tasks:
        engine.gate.clear()
        tasks.create_task(client.encode(1), name="runs")
        await engine.running()
        partial = asyncio.ensure_future(client.encode(2, partial=True))
        while await client.metric('textpro_queue_depth{service="encoder"}') < 1:
            pass
        final = tasks.create_task(client.encode(3), name="final")
        error = await refused(partial)
        engine.gate.set()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert final.result().text == "number 3"


async def test_a_deadline_that_passes_in_the_queue_ends_the_call_and_never_runs(ready, engine) -> None:
    async with ready(engine, max_batch=1, max_wait_ms=0) as client, asyncio.TaskGroup() as tasks:
        engine.gate.clear()
        tasks.create_task(client.encode(1), name="runs")
        await engine.running()
        error = await refused(client.encode(2, timeout_s=0.2))
        while await client.metric('textpro_queue_depth{service="encoder"}'):
            pass
        engine.gate.set()
        await client.encode(3)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert engine.batches == [[1], [3]]


async def test_a_wait_longer_than_the_service_allows_is_told_so(ready, engine) -> None:
    async with ready(engine, max_batch=1, max_wait_ms=0, timeout_s=0.2) as client, asyncio.TaskGroup() as tasks:
        engine.gate.clear()
        tasks.create_task(client.encode(1), name="runs")
        await engine.running()
        error = await refused(client.encode(2, timeout_s=None))
        engine.gate.set()
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "before the encoder could start" in (error.details() or "")


async def test_a_cancelled_call_leaves_the_queue(ready, engine) -> None:
    async with ready(engine, max_batch=1, max_wait_ms=0) as client, asyncio.TaskGroup() as tasks:
        engine.gate.clear()
        tasks.create_task(client.encode(1), name="runs")
        await engine.running()
        call = client.stub.Encode(encoder_pb2.EncodeRequest(pcm16=b"\x80\0" * 160))
        while await client.metric('textpro_queue_depth{service="encoder"}') < 1:
            pass
        call.cancel()
        while await client.metric('textpro_queue_depth{service="encoder"}'):
            pass
        engine.gate.set()
        await client.encode(3)
        ended = await client.metric('textpro_requests_total{operation="grpc",outcome="cancelled",service="encoder"}')
    assert engine.batches == [[1], [3]]
    assert ended == 1


async def test_an_utterance_the_model_cannot_take_fails_alone_and_its_message_stays_inside(ready, engine) -> None:
    async with ready(engine, max_wait_ms=200) as client:
        answers = await asyncio.gather(*(client.encode(k) for k in (5, 400, 6)), return_exceptions=True)
    assert answers[0].text == "number 5"
    assert answers[2].text == "number 6"
    assert answers[1].code() is grpc.StatusCode.INTERNAL
    assert "secret" not in answers[1].details()


async def test_health_and_calls_say_not_ready_until_the_model_is_loaded(served, engine) -> None:
    def slow(_):
        engine.entered.release()
        engine.gate.wait(30)
        return engine

    engine.gate.clear()
    async with served(slow) as client:
        await engine.running()
        health = health_pb2_grpc.HealthStub(client.channel)
        assert (
            await health.Check(health_pb2.HealthCheckRequest())
        ).status == health_pb2.HealthCheckResponse.NOT_SERVING
        error = await refused(client.encode(1))
        assert (await client.http.get("/readyz")).status_code == 503
        engine.gate.set()
        await client.healthy()
        assert (await client.http.get("/readyz")).status_code == 200
        assert (await client.encode(1)).text == "number 1"
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert isinstance(error_of(error), Unavailable)


async def test_draining_finishes_what_runs_and_refuses_what_is_new(ready, engine) -> None:
    async with ready(engine, max_wait_ms=0) as client, asyncio.TaskGroup() as tasks:
        engine.gate.clear()
        running = tasks.create_task(client.encode(8), name="runs")
        await engine.running()
        client.stop.set()
        await client.healthy(health_pb2.HealthCheckResponse.NOT_SERVING)
        error = await refused(client.encode(9))
        assert (await client.http.get("/readyz")).json()["draining"] is True
        engine.gate.set()
        assert (await running).text == "number 8"
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "stopping" in (error.details() or "")


async def test_a_model_that_cannot_be_loaded_ends_the_service(served) -> None:
    def broken(_):
        raise TextProError("no such bundle")

    with pytest.RaisesGroup(TextProError, allow_unwrapped=False, flatten_subgroups=True):
        async with served(broken):
            await asyncio.get_running_loop().create_future()


async def test_a_model_that_fails_on_everything_ends_the_service_and_its_error_is_told_inside(served, engine) -> None:
    def fail(audio, *, language=None):
        raise RuntimeError("the GPU has fallen off the bus")

    engine.decode = fail
    with pytest.RaisesGroup(pytest.RaisesExc(ModelBroken, match="bus"), flatten_subgroups=True):
        async with served(lambda _: engine) as client:
            await client.healthy()
            await refused(client.encode(1))
            await asyncio.get_running_loop().create_future()


async def test_reflection_names_the_encoder(ready, engine) -> None:
    async with ready(engine) as client:
        stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        names = [found.name for answer in [await call.read()] for found in answer.list_services_response.service]
    assert {"textpro.encoder.v1.Encoder", "grpc.health.v1.Health"} <= set(names)
