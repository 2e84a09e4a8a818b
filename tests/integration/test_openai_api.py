"""OpenAI's own client with the real services: spoken chat completions and transcriptions."""

import base64
import difflib

import numpy as np
import pytest
from openai import OpenAI

from services.cli.demo import EXAMPLES, TONES, Question
from tests.integration.conftest import Stack, wav
from textpro.audio import decode
from textpro.data.sentences import normalise

pytestmark = pytest.mark.embedded
QUESTIONS = {"capital.wav": "What is the capital of France?", "sum.wav": "What is two plus two?"}
RATE = 16_000
EDGE_S = 0.3  # how exactly voice activity knows where speech begins and ends


@pytest.fixture
def client(stack: Stack) -> OpenAI:
    return OpenAI(api_key="none", base_url=f"{stack.client.base_url}/v1", max_retries=0)


def spoken(name: str) -> dict:
    data = base64.b64encode((EXAMPLES / name).read_bytes()).decode()
    return {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}]}


def ask(client: OpenAI, *messages: dict, **fields: object):
    settings = {"max_tokens": 24, "temperature": 0, **fields}
    return client.chat.completions.create(model="textpro", messages=list(messages), **settings)


def samples(name: str) -> np.ndarray:
    return (decode((EXAMPLES / name).read_bytes()) * 32_767).astype("<i2")


def likeness(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, normalise(a), normalise(b), autojunk=False).ratio()


@pytest.fixture(scope="module")
def meeting() -> tuple[bytes, list[tuple[str, float, float]]]:
    """A recording of two questions between silences, and what is said from when to when, as far as files tell."""
    parts, said, now = [np.zeros(RATE, "<i2")], [], 1.0
    for name, text in QUESTIONS.items():
        sound = samples(name)
        said.append((text, now, now + len(sound) / RATE))
        parts += [sound, np.zeros(2 * RATE, "<i2")]
        now += len(sound) / RATE + 2
    return wav(np.concatenate(parts)), said


def test_a_spoken_question_is_answered_whole_and_streamed_alike(client: OpenAI) -> None:
    whole = ask(client, spoken("capital.wav"))
    chunks = list(ask(client, spoken("capital.wav"), stream=True))
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert whole.choices[0].message.content == streamed
    assert "Paris" in streamed
    assert whole.textpro["prosody"] == chunks[-1].textpro["prosody"] == "on"
    assert likeness(whole.textpro["transcripts"][0]["text"], QUESTIONS["capital.wav"]) > 0.9
    assert whole.usage.total_tokens > 0


@pytest.mark.parametrize("question", TONES, ids=lambda question: question.file)
def test_the_tone_is_heard_as_in_a_turn(client: OpenAI, stack: Stack, question: Question) -> None:
    audio = (EXAMPLES / question.file).read_bytes()
    turn = stack.client.post("/v1/chat", content=audio, params={"max_tokens": 24, "temperature": 0}).json()
    assert ask(client, spoken(question.file)).choices[0].message.content == turn["reply"]


def test_a_conversation_of_recordings_is_one_of_turns(client: OpenAI, stack: Stack) -> None:
    fields = {"max_tokens": 24, "temperature": 0}
    audio = [(EXAMPLES / name).read_bytes() for name in QUESTIONS]
    first = stack.client.post("/v1/chat", content=audio[0], params=fields).json()
    second = stack.client.post("/v1/chat", content=audio[1], params=fields | {"session_id": first["session_id"]}).json()
    replied = {"role": "assistant", "content": first["reply"]}
    done = ask(client, spoken("capital.wav"), replied, spoken("sum.wav"))
    assert done.choices[0].message.content == second["reply"]


def test_a_field_that_the_engine_does_not_know_is_refused_by_its_name(stack: Stack) -> None:
    message = {"role": "user", "content": "Hello"}
    answer = stack.client.post("/v1/chat/completions", json={"messages": [message], "top_k": 5})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported", "top_k")


def test_a_recording_is_transcribed(client: OpenAI) -> None:
    audio = ("capital.wav", (EXAMPLES / "capital.wav").read_bytes())
    done = client.audio.transcriptions.create(file=audio, model="textpro")
    assert likeness(done.text, QUESTIONS["capital.wav"]) > 0.9
    assert done.usage is not None
    assert done.usage.type == "duration"


def test_segments_say_when_something_was_said(client: OpenAI, meeting) -> None:
    recording, said = meeting
    done = client.audio.transcriptions.create(
        file=("a.wav", recording), model="textpro", response_format="verbose_json", language="en"
    )
    assert done.segments is not None
    assert len(done.segments) == len(said)
    for segment, (text, start, end) in zip(done.segments, said, strict=True):
        assert likeness(segment.text, text) > 0.9
        assert start - EDGE_S <= segment.start <= start + 2 * EDGE_S
        assert end - 3 * EDGE_S <= segment.end <= end + EDGE_S
        assert segment.tokens
        assert segment.avg_logprob < 0
    assert done.language == "en"


def test_subtitles_and_a_stream_have_the_same_words(client: OpenAI, meeting) -> None:
    recording, _ = meeting
    create = client.audio.transcriptions.create
    text = create(file=("a.wav", recording), model="textpro").text
    subtitles = create(file=("a.wav", recording), model="textpro", response_format="srt")
    events = list(create(file=("a.wav", recording), model="textpro", stream=True))
    lines = subtitles.strip().split("\n")
    assert " ".join(lines[2::4]) == text
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == text
    assert events[-1].text == text


@pytest.mark.parametrize("kind", ["silence", "white noise", "hum"])
def test_where_nobody_speaks_no_words_are_invented(client: OpenAI, kind: str) -> None:
    rng, t = np.random.default_rng(0), np.arange(5 * RATE) / RATE
    sound = {
        "silence": np.zeros(5 * RATE),
        "white noise": rng.normal(0, 2000, 5 * RATE),
        "hum": 3000 * np.sin(2 * np.pi * 50 * t),
    }[kind]
    done = client.audio.transcriptions.create(file=("a.wav", wav(sound)), model="textpro")
    assert done.text == ""
