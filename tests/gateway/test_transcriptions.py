"""OpenAI's transcriptions with OpenAI's own Python client, unmodified, and with hands that do wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from openai import APIError, AsyncOpenAI, BadRequestError

from services.contracts.errors import Overloaded, Unavailable
from services.contracts.transcriptions import Segment
from services.gateway.subtitles import srt, vtt
from tests.gateway.conftest import House, hum, wav_of
from tests.gateway.test_live import LoudIsSpeech
from tests.gateway.test_openai_api import openai_client

pytestmark = pytest.mark.anyio
PATH = "/v1/audio/transcriptions"
WINDOW_S = 0.032
N_TOKENS = 2  # of what the fake encoder hears


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(int(16_000 * seconds), "<i2")


TWO = wav_of(np.concatenate([quiet(1), hum(100), quiet(2), hum(150), quiet(1)]))


class AllIsSpeech:
    """Takes everything for speech."""

    def judge(self, samples: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, ...]:
        return np.full(len(samples), 0.95), hidden, cell


@pytest.fixture
def served(house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`served(**settings)`: a gateway for which whatever sounds is speech, and a client of it."""
    monkeypatch.setattr("services.gateway.app.VoiceModel", LoudIsSpeech)

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[tuple[House, AsyncOpenAI]]:
        async with house(**settings) as here, openai_client(here) as client:
            yield here, client

    return opened


async def transcribe(client: AsyncOpenAI, audio: bytes, **fields: Any) -> Any:
    return await client.audio.transcriptions.create(file=("a.wav", audio), model="textpro", **fields)


async def post(house: House, audio: bytes | None = TWO, **fields: Any) -> httpx.Response:
    file = [] if audio is None else [("file", ("a.wav", audio))]
    return await house.http.post(PATH, files=[*file, *((name, (None, value)) for name, value in fields.items())])


def words_of(house: House) -> list[str]:
    """What the encoder heard in each utterance, from how long it was."""
    return [f"number {len(request.pcm16) // 320}" for request in house.encoder.requests]


async def test_a_recording_becomes_the_text_of_its_utterances(served) -> None:
    async with served() as (here, client):
        done = await transcribe(client, TWO)
        words = words_of(here)
        assert all(request.prosody == 0 for request in here.encoder.requests)
    assert len(words) == 2
    assert done.text == " ".join(words)
    assert (done.usage.type, done.usage.seconds) == ("duration", 6.5)


async def test_segments_have_the_times_at_which_something_was_said(served) -> None:
    async with served() as (_, client):
        done = await transcribe(
            client, TWO, response_format="verbose_json", timestamp_granularities=["segment"], language="en"
        )
    assert (done.duration, done.language) == (6.5, "en")
    assert [segment.id for segment in done.segments] == [0, 1]
    times = [time for segment in done.segments for time in (segment.start, segment.end)]
    assert times == pytest.approx([1.0, 2.0, 4.0, 5.5], abs=WINDOW_S)
    assert " ".join(segment.text for segment in done.segments) == done.text


async def test_the_encoder_is_told_the_language(served) -> None:
    async with served() as (here, client):
        await transcribe(client, TWO, language="de")
        assert {request.language for request in here.encoder.requests} == {"de"}


async def test_text_and_subtitles_are_plain_text(served) -> None:
    async with served() as (_, client):
        text, subtitles, captions = [await transcribe(client, TWO, response_format=f) for f in ("text", "srt", "vtt")]
    assert text.startswith("number ")
    assert subtitles.startswith("1\n00:00:0")
    assert subtitles.count(" --> ") == captions.count(" --> ") == 2
    assert captions.startswith("WEBVTT\n\n00:00:0")


async def test_a_stream_is_a_delta_an_utterance_and_the_whole(served) -> None:
    async with served() as (_, client):
        events = [event async for event in await transcribe(client, TWO, stream=True)]
        whole = (await transcribe(client, TWO)).text
    *deltas, done = events
    assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event.delta for event in deltas) == done.text == whole
    assert done.usage.seconds == 6.5


def chunks_of(stream: str) -> list[dict[str, Any]]:
    """A stream's data, without the `[DONE]` that it ends with."""
    *lines, end = stream.strip().split("\n\n")
    assert end == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_who_asks_in_vllm_s_words_is_answered_in_them(served) -> None:
    fields = {"stream": "True", "stream_include_usage": "True", "max_completion_tokens": "64"}
    async with served() as (here, client):
        chunks = chunks_of((await post(here, **fields)).text)
        counted = chunks_of((await post(here, **fields, stream_continuous_usage_stats="True")).text)
        silent = chunks_of((await post(here, wav_of(quiet(3)), **fields)).text)
        text = (await transcribe(client, TWO)).text
    *said, usage = chunks
    assert {chunk["object"] for chunk in chunks} == {"transcription.chunk"}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in said) == text
    assert [chunk["choices"][0]["finish_reason"] for chunk in said] == [None, None, "stop"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in silent[:-1]] == ["stop"]
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 2 * N_TOKENS)
    assert not any("usage" in chunk for chunk in said)
    assert [chunk["usage"]["completion_tokens"] for chunk in counted] == [N_TOKENS, *[2 * N_TOKENS] * 3]


@pytest.mark.parametrize("silent", [wav_of(quiet(3)), wav_of(quiet(0.1))])
async def test_silence_has_no_words_and_troubles_no_encoder(served, silent: bytes) -> None:
    async with served() as (here, client):
        done = await transcribe(client, silent)
        verbose = await transcribe(client, silent, response_format="verbose_json")
        events = [event async for event in await transcribe(client, silent, stream=True)]
        captions = await transcribe(client, silent, response_format="vtt")
        assert here.encoder.requests == []
    assert (done.text, verbose.text, verbose.segments, captions) == ("", "", [], "WEBVTT\n\n")
    assert [(event.type, event.text) for event in events] == [("transcript.text.done", "")]


async def test_what_sounds_like_a_voice_but_has_no_words_for_the_encoder_is_no_segment(house, monkeypatch) -> None:
    monkeypatch.setattr("services.gateway.app.VoiceModel", AllIsSpeech)
    async with house() as here:
        done = (await post(here, wav_of(quiet(3)), response_format="verbose_json")).json()
        metrics = (await here.http.get("/metrics")).text
        assert len(here.encoder.requests) == 1
    assert (done["text"], done["segments"]) == ("", [])
    assert 'textpro_no_speech_total{reason="silence",service="gateway"} 1.0' in metrics


async def test_speech_without_pause_is_heard_in_parts_the_encoder_can_take(served) -> None:
    async with served() as (here, client):
        done = await transcribe(client, wav_of(hum(7000)), response_format="verbose_json")
        lengths = [len(request.pcm16) / 32_000 for request in here.encoder.requests]
    assert max(lengths) <= 30
    assert sum(lengths) == pytest.approx(70, abs=0.1)
    assert done.segments[-1].end == pytest.approx(70, abs=0.1)


async def test_a_recording_may_be_longer_than_a_turn_but_not_than_its_own_bound(served) -> None:
    async with served(max_seconds=2, max_transcription_s=7) as (here, client):
        assert (await transcribe(client, TWO)).text
        refused = await post(here, wav_of(hum(800)))
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "audio_too_long")
    assert "TEXTPRO_MAX_TRANSCRIPTION_S" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"prompt": "Be precise."}, "prompt", "not supported"),
        ({"include[]": "logprobs"}, "include[]", "not supported"),
        ({"max_completion_tokens": "0"}, "max_completion_tokens", "0"),
        ({"stream_include_usage": "true"}, "stream_include_usage", "stream=true"),
        ({"stream_continuous_usage_stats": "true"}, "stream_continuous_usage_stats", "stream=true"),
        ({"temperature": "0.5"}, "temperature", "0.5"),
        ({"language": "English"}, "language", "English"),
        ({"response_format": "diarized_json"}, "response_format", "diarized_json"),
        ({"response_format": "srt", "stream": "true"}, "stream", "json or text"),
        ({"timestamp_granularities[]": "word", "response_format": "verbose_json"}, "timestamp_granularities[]", "word"),
        ({"timestamp_granularities[]": "segment"}, "timestamp_granularities[]", "verbose_json"),
        ({"chunking_strategy": "server_vad"}, "chunking_strategy", "server_vad"),
        ({"file": "text"}, "file", "came as text"),
    ],
)
async def test_what_has_no_effect_or_cannot_be_is_refused_by_name(served, fields, param, said) -> None:
    async with served() as (here, _):
        answer = await post(here, None if "file" in fields else TWO, **fields)
        assert here.encoder.requests == []
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert said in error["message"]


async def test_what_clients_send_and_changes_nothing_is_taken(served) -> None:
    async with served() as (_, client):
        done = await transcribe(client, TWO, temperature=0, response_format="json", chunking_strategy="auto")
    assert done.text


async def test_without_a_form_or_a_file_or_with_another_model_nothing_is_done(served) -> None:
    async with served() as (here, _):
        bare = await here.http.post(PATH, content=TWO)
        none = await post(here, None, model="textpro")
        other = await post(here, model="whisper-1")
        broken = await post(here, b"no sound")
    assert (bare.status_code, none.status_code) == (400, 400)
    assert "no file named 'file'" in none.json()["error"]["message"]
    assert (other.status_code, other.json()["error"]["code"]) == (404, "model_not_found")
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_audio")


async def test_a_bad_file_has_its_status_in_a_stream_too(served) -> None:
    async with served() as (_, client):
        with pytest.raises(BadRequestError) as refused:
            await transcribe(client, b"no sound", stream=True)
    assert refused.value.code == "invalid_audio"


async def test_an_encoder_that_is_full_or_lost_is_told(served) -> None:
    async with served() as (here, client):
        here.encoder.error = Overloaded("64 requests wait", retry_after_s=7)
        whole = await post(here)
        here.encoder.error = Unavailable("loading")
        with pytest.raises(APIError, match="the encoder is not available"):
            async for _ in await transcribe(client, TWO, stream=True):
                pass
        (told,) = chunks_of((await post(here, stream="true", stream_include_usage="true")).text)
    assert (whole.status_code, whole.headers["retry-after"]) == (429, "7")
    assert told["error"]["code"] == "unavailable"


async def test_utterances_are_encoded_side_by_side(served) -> None:
    async with served() as (here, client):
        here.encoder.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            done = tasks.create_task(transcribe(client, TWO))
            for _ in range(2):
                await here.encoder.entered.acquire()
            here.encoder.gate.set()
    assert done.result().text


async def test_transcriptions_hold_a_seat_and_are_counted(served, recording) -> None:
    async with served(max_turns=1) as (here, client):
        here.encoder.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(transcribe(client, TWO))
            await here.encoder.entered.acquire()
            refused = await here.chat(recording())
            here.encoder.gate.set()
        metrics = (await here.http.get("/metrics")).text
    assert refused.status_code == 429
    assert 'textpro_requests_total{operation="transcriptions",outcome="ok",service="gateway"} 1.0' in metrics
    assert 'textpro_audio_seconds_total{service="gateway"} 6.5' in metrics


async def test_the_documentation_describes_the_form(served) -> None:
    async with served() as (here, _):
        document = (await here.http.get("/openapi.json")).json()
    described = document["paths"][PATH]["post"]
    schema = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert "$ref" not in json.dumps(schema)
    assert "null" not in json.dumps(schema)
    assert schema["required"] == ["file"]
    assert schema["properties"]["file"]["format"] == "binary"
    assert {"language", "response_format", "stream", "timestamp_granularities[]"} <= schema["properties"].keys()
    assert {"application/json", "text/vtt", "text/event-stream"} <= described["responses"]["200"]["content"].keys()


def segment(start: float, end: float, text: str) -> Segment:
    return Segment(
        id=0, seek=0, start=start, end=end, text=text, tokens=[], avg_logprob=0, compression_ratio=1, no_speech_prob=0
    )


def test_subtitles_have_the_times_and_marks_of_their_format() -> None:
    said = [segment(0, 1.5, "One & <two>"), segment(3661.0004, 3662.9996, "three\n\nfour")]
    assert srt(said) == (
        "1\n00:00:00,000 --> 00:00:01,500\nOne & <two>\n\n2\n01:01:01,000 --> 01:01:03,000\nthree four\n\n"
    )
    assert vtt(said) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nOne &amp; &lt;two&gt;\n\n"
        "01:01:01.000 --> 01:01:03.000\nthree four\n\n"
    )
