"""The HTTP door, over a real socket."""

import asyncio
import base64
import io
import wave

import numpy as np
import pytest

from services.encoder.engine import warm_up_audio

pytestmark = pytest.mark.anyio


def wav(seconds: float = 1.0) -> bytes:
    """A hum that stays away from silence."""
    samples = (8000 * np.sin(2 * np.pi * 200 * np.arange(round(seconds * 16_000)) / 16_000)).astype("<i2")
    with io.BytesIO() as data:
        with wave.open(data, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16_000)
            out.writeframes(samples.tobytes())
        return data.getvalue()


async def chunks(data: bytes, times: int = 1):
    for _ in range(times):
        yield data


async def test_a_wav_body_is_decoded_and_answered_with_stage_times(ready, engine) -> None:
    async with ready(engine) as client:
        answer = await client.http.post("/v1/encode", content=wav(), params={"prosody": "tokens"})
    assert answer.status_code == 200
    body = answer.json()
    assert list(body["timing_ms"]) == ["audio", "queue", "features", "encode", "decode", "prosody"]
    assert body["audio_seconds"] == pytest.approx(1.0, abs=0.01)
    assert answer.headers["x-request-id"]


async def test_prosody_travels_as_float16_in_base64(served, engine) -> None:
    class Deaf:
        width, fingerprint = 4, "fake"

        def length_class(self, n_samples):
            return 0

        def decode(self, audio, *, language=None):
            return [engine.heard(3, "en") for _ in audio]

    async with served(lambda _: Deaf()) as client:
        await client.healthy()
        array = (await client.http.post("/v1/encode", content=wav())).json()["prosody"]
    assert array["shape"] == [1, 4]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(array["data"]), "<f2"), np.full(4, 4.0, "<f2"))


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("POST", "/v1/encode", b"not audio at all", 400, "invalid_audio"),
        ("POST", "/v1/encode", wav(3), 413, "audio_too_long"),
        ("POST", "/v1/encode?prosody=loud", wav(), 400, "invalid_request"),
        ("POST", "/v1/encode", bytes(200_001), 413, "payload_too_large"),
        ("GET", "/v1/nothing", b"", 404, "not_found"),
        ("GET", "/v1/encode", b"", 405, "method_not_allowed"),
    ],
)
async def test_refusals_have_the_openai_shape(ready, engine, method, path, content, status, code) -> None:
    async with ready(engine, max_seconds=2, max_bytes=200_000) as client:
        answer = await client.http.request(method, path, content=content)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == code
    assert answer.headers["x-request-id"]


async def test_a_chunked_body_over_the_limit_is_refused(ready, engine) -> None:
    async with ready(engine, max_bytes=200_000) as client:
        answer = await client.http.post("/v1/encode", content=chunks(bytes(50_000), 8))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "payload_too_large"
    assert "TEXTPRO_ENCODER_MAX_BYTES" in answer.json()["error"]["message"]


async def test_a_failing_model_answers_500_without_its_message(served) -> None:
    class Broken:
        width, fingerprint = 4, "broken"

        def length_class(self, n_samples):
            return 0

        def decode(self, audio, *, language=None):
            if len(audio[0]) != len(warm_up_audio()):
                raise RuntimeError("secret")
            return []

    async with served(lambda _: Broken()) as client:
        await client.healthy()
        answer = await client.http.post("/v1/encode", content=wav())
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text


async def test_a_caller_that_hangs_up_leaves_the_queue(ready, engine) -> None:
    async with ready(engine, max_batch=1, max_wait_ms=0) as client, asyncio.TaskGroup() as tasks:
        engine.gate.clear()
        tasks.create_task(client.encode(1), name="runs")
        await engine.running()
        upload = asyncio.ensure_future(client.http.post("/v1/encode", content=wav()))
        while await client.metric('textpro_queue_depth{service="encoder"}') < 1:
            pass
        upload.cancel()
        while await client.metric('textpro_queue_depth{service="encoder"}'):
            pass
        engine.gate.set()
    assert engine.batches == [[1]]


async def test_a_full_queue_answers_429_with_retry_after(ready, engine) -> None:
    async with ready(engine, queue=1, max_batch=1, max_wait_ms=0) as client, asyncio.TaskGroup() as tasks:
        engine.gate.clear()
        tasks.create_task(client.encode(1), name="runs")
        await engine.running()
        waits = tasks.create_task(client.encode(2), name="waits")
        while await client.metric('textpro_queue_depth{service="encoder"}') < 1:
            pass
        answer = await client.http.post("/v1/encode", content=wav())
        engine.gate.set()
        await waits
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


async def test_operators_see_health_settings_and_stage_metrics(ready, engine) -> None:
    async with ready(engine) as client:
        await client.encode(3)
        assert (await client.http.get("/healthz")).json() == {"status": "ok"}
        config = (await client.http.get("/v1/config")).json()
        metrics = (await client.http.get("/metrics")).text
    assert config["bundle"] == {"fingerprint": "fake", "width": 4}
    assert config["settings"]["max_batch"] == 16
    assert 'textpro_stage_seconds_bucket{le="0.001",service="encoder",stage="queue"}' in metrics
    assert 'textpro_requests_total{operation="grpc",outcome="ok",service="encoder"} 1.0' in metrics
    assert 'textpro_audio_seconds_total{service="encoder"} 0.5' in metrics
