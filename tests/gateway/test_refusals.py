"""What the gateway refuses, and how it says so: every bad upload, every wrong field, every limit."""

import asyncio
import io
import struct
import wave

import numpy as np
import pytest

pytestmark = pytest.mark.anyio


def header(*, rate: int = 16_000, channels: int = 1, bits: int = 16, kind: int = 1, size: int = 3200) -> bytes:
    """A WAV header that claims what it is told to."""
    block = max(1, channels * bits // 8)
    fmt = struct.pack("<HHIIHH", kind, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", (size + 36) & 0xFFFFFFFF, b"WAVE", b"fmt ", 16)
        + fmt
        + struct.pack("<4sI", b"data", size)
    )


def nan_wav() -> bytes:
    samples = np.sin(np.arange(16_000) / 20).astype("<f4")
    samples[500] = np.nan
    return header(kind=3, bits=32, size=samples.nbytes) + samples.tobytes()


def long_wav(minutes: int) -> bytes:
    with io.BytesIO() as data:
        with wave.open(data, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16_000)
            out.writeframes(bytes(minutes * 60 * 16_000 * 2))
        return data.getvalue()


BAD = {
    "empty": (b"", 400, "invalid_audio", "empty"),
    "text": (b"RIFF this is not a WAV file, it only says so", 400, "invalid_audio", "known container"),
    "header alone": (header(size=0), 400, "invalid_audio", "no samples"),
    "0 Hz": (header(rate=0) + bytes(3200), 400, "invalid_audio", ""),
    "17 channels": (header(channels=17) + bytes(34 * 800), 400, "invalid_audio", "17 channels"),
    "NaN": (nan_wav(), 400, "invalid_audio", "finite"),
    "10 minutes": (long_wav(10), 413, "audio_too_long", "TEXTPRO_MAX_SECONDS"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_upload_is_refused_with_a_reason_and_never_reaches_the_encoder(house, name) -> None:
    content, status, code, said = BAD[name]
    async with house() as here:
        answer = await here.http.post("/v1/chat", content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert said in error["message"]
    assert here.encoder.requests == []


async def test_a_truncated_file_and_one_that_claims_four_gigabytes_are_answered_for_what_they_hold(
    house, recording
) -> None:
    whole = recording(100)
    async with house() as here:
        truncated = await here.chat(whole[: 44 + 60 * 320])
        claims = await here.chat(header(size=0xFFFFFFFF) + whole[44:])
    assert truncated.json()["transcript"] == "number 60"
    assert claims.json()["transcript"] == "number 100"


async def test_a_hundred_megabytes_are_refused_with_an_answer_that_arrives(house) -> None:
    async def chunks():
        for _ in range(100):
            yield bytes(2**20)

    async with house(max_bytes=2**20) as here:
        declared = await here.http.post("/v1/chat", content=bytes(100 * 2**20))
        streamed = await here.http.post("/v1/chat", content=chunks())
    for answer in (declared, streamed):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")
        assert answer.json()["error"]["message"] == "the body is larger than 1048576 bytes (TEXTPRO_MAX_BYTES)"


@pytest.mark.parametrize(
    ("files", "fields", "param"),
    [
        ({"audoi": b"x"}, {}, "audoi"),
        ({}, {"audio": "text"}, "audio"),
        ({}, {"prosody": "on"}, "audio"),
        ({"audio": b"x"}, {"sesion_id": "1"}, "sesion_id"),
        ({"audio": b"x"}, {"prosody": "loud"}, "prosody"),
        ({"audio": b"x"}, {"max_tokens": "many"}, "max_tokens"),
        ({"audio": b"x"}, {"max_tokens": "1000000"}, "max_tokens"),
        ({"audio": b"x"}, {"temperature": "-1"}, "temperature"),
        ({"audio": b"x"}, {"seed": "-5"}, "seed"),
        ({"audio": b"x"}, {"instructions": "x" * 8001}, "instructions"),
    ],
)
async def test_a_wrong_field_is_named(house, files, fields, param) -> None:
    async with house() as here:
        answer = await here.http.post(
            "/v1/chat",
            files=[(name, ("a.wav", content)) for name, content in files.items()]
            + [(name, (None, value)) for name, value in fields.items()],
        )
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert error["code"] == (None if param == "audio" or param in files else "invalid_value")
    assert param in error["message"]


async def test_a_wrong_query_field_is_named_too(house, recording) -> None:
    async with house() as here:
        answer = await here.http.post("/v1/chat?strem=true", content=recording())
    assert answer.status_code == 400
    assert "strem" in answer.json()["error"]["message"]


async def test_a_broken_form_is_a_bad_request(house) -> None:
    async with house() as here:
        answer = await here.http.post(
            "/v1/chat", content=b"no boundary here", headers={"content-type": "multipart/form-data"}
        )
    assert answer.status_code == 400


@pytest.mark.parametrize("charset", ["unicode_escape", "punycode", "utf-16", "no-such"])
async def test_a_form_in_another_charset_than_utf_8_is_a_bad_request(house, charset) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="\\ud800"\r\n\r\nv\r\n--x--\r\n'
    kind = f'multipart/form-data; boundary=x; charset="{charset}"'
    async with house() as here:
        answer = await here.http.post("/v1/chat", content=part, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "charset")


async def test_an_unknown_session_is_not_found_and_the_encoder_is_not_troubled(house, recording) -> None:
    async with house() as here:
        answer = await here.chat(recording(), session_id="s_nobody")
        shown = await here.http.get("/v1/sessions/s_nobody")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_not_found")
    assert shown.status_code == 404
    assert here.encoder.requests == []


async def test_an_error_before_the_first_event_of_a_stream_has_its_own_status(house) -> None:
    async with house() as here:
        answer = await here.http.post("/v1/chat?stream=true", content=b"no audio at all")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"


async def test_a_full_house_answers_429_with_a_time_and_a_free_seat_is_used_again(house, recording) -> None:
    async with house(max_turns=1) as here:
        here.llm.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(here.chat(recording()))
            await here.llm.waiting.acquire()
            refused = await here.chat(recording())
            here.llm.gate.set()
        again = await here.chat(recording())
    assert first.result().status_code == again.status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1


async def test_more_sessions_than_allowed_are_refused(house, recording) -> None:
    async with house(max_sessions=1) as here:
        assert (await here.chat(recording())).status_code == 200
        refused = await here.chat(recording())
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_sessions")
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_turn_past_its_deadline_is_ended(house, recording) -> None:
    async with house(turn_timeout_s=0.3) as here:
        here.llm.gate.clear()
        answer = await here.chat(recording())
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
