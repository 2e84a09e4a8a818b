"""What a user meets: the three real services, the embedded models, recordings of synthetic voices."""

import base64
import difflib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.cli.demo import CAPITALS, CHOICES, EXAMPLES, TONES, Question, complaints, toneless_complaints
from services.gateway.timing import stages_only
from tests.integration.conftest import Stack, wav
from textpro.audio import SAMPLE_RATE, decode, pcm16_of
from textpro.data.sentences import compose_split, normalise
from textpro.data.synthesis import speak
from textpro.data.voices import Delivery, Voice

pytestmark = pytest.mark.embedded
PLAIN_VOICE = Voice("espeak-ng", "gmw/en-US", "en-us", "male", "plain")
PLAIN = Delivery("neutral", 50, 50, 165, 100)
CAPITAL = (EXAMPLES / "capital.wav").read_bytes()
FIELDS = {"max_tokens": "24", "temperature": "0"}


def ask(stack: Stack, audio: bytes, **fields: str) -> dict:
    answer = stack.client.post("/v1/chat", files={"audio": ("speech.wav", audio)}, data=FIELDS | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def likeness(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, normalise(a), normalise(b), autojunk=False).ratio()


def test_a_spoken_question_is_heard_and_answered(stack: Stack) -> None:
    turn = ask(stack, CAPITAL)
    assert likeness(turn["transcript"], "What is the capital of France?") > 0.9
    assert "Paris" in turn["reply"]
    assert turn["prosody"] == "on"


@pytest.mark.parametrize("question", [*TONES, *CHOICES, *CAPITALS], ids=lambda question: question.file)
def test_the_same_words_are_answered_by_how_they_are_said(stack: Stack, question: Question) -> None:
    assert complaints(question, ask(stack, (EXAMPLES / question.file).read_bytes())) == []


@pytest.mark.parametrize("question", TONES, ids=lambda question: question.file)
def test_silence_around_the_words_does_not_change_how_they_sound(stack: Stack, question: Question) -> None:
    second = np.zeros(SAMPLE_RATE, np.float32)
    padded = np.concatenate([second, decode((EXAMPLES / question.file).read_bytes()), second])
    assert complaints(question, ask(stack, wav(np.frombuffer(pcm16_of(padded), "<i2")))) == []


def test_the_answer_about_the_tone_follows_the_prosody_and_not_the_recording(stack: Stack) -> None:
    (calm, excited), (_, excited_capital) = TONES[:2], CAPITALS[:2]
    lender = ask(stack, (EXAMPLES / excited_capital.file).read_bytes())
    borrowed = {"session_id": lender["session_id"], "prosody_from": lender["turn_id"]}
    assert complaints(excited, ask(stack, (EXAMPLES / calm.file).read_bytes(), **borrowed)) == []


def test_without_prosody_the_tone_is_not_heard(stack: Stack) -> None:
    turns = [ask(stack, (EXAMPLES / question.file).read_bytes(), prosody="off") for question in TONES]
    assert {turn["prosody"] for turn in turns} == {"off"}
    assert toneless_complaints(turns) == []


def test_stage_times_sum_to_the_total(stack: Stack) -> None:
    timing_ms = ask(stack, CAPITAL)["timing_ms"]
    assert sum(stages_only(timing_ms).values()) == pytest.approx(timing_ms["total"], abs=0.01)
    assert 0 < timing_ms["first_token"] <= timing_ms["total"]
    assert {"encoder_encode", "encoder_decode", "encoder_prosody", "prefill", "generate"} <= timing_ms.keys()


def test_a_second_turn_knows_the_first(stack: Stack) -> None:
    first = ask(stack, CAPITAL)
    ask(stack, CAPITAL, session_id=first["session_id"])
    session = stack.client.get(f"/v1/sessions/{first['session_id']}").json()
    assert [turn["transcript"] for turn in session["turns"]] == [first["transcript"]] * 2


def test_every_one_of_32_callers_gets_the_answer_to_his_own_question(stack: Stack) -> None:
    said = compose_split(32, "test", 5)
    recordings = [wav(speak(text, PLAIN_VOICE, PLAIN)) for text in said]
    with ThreadPoolExecutor(32) as callers:
        turns = list(callers.map(lambda audio: ask(stack, audio, max_tokens="2"), recordings))
    alone = [ask(stack, audio, max_tokens="2") for audio in recordings]
    assert [turn["transcript"] for turn in turns] == [turn["transcript"] for turn in alone]
    assert [turn["reply"] for turn in turns] == [turn["reply"] for turn in alone]
    assert len({turn["turn_id"] for turn in turns}) == 32


@pytest.mark.parametrize("kind", ["silence", "white noise", "hum", "click"])
def test_where_nobody_speaks_nothing_is_invented(stack: Stack, kind: str) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(32_000) / 16_000
    samples = {
        "silence": np.zeros(32_000),
        "white noise": rng.normal(0, 2000, 32_000),
        "hum": 3000 * np.sin(2 * np.pi * 50 * t),
        "click": np.where(np.arange(32_000) % 8000 < 40, 20_000, 0),
    }[kind]
    turn = ask(stack, wav(samples))
    assert (turn["transcript"], turn["reply"]) == ("", "")
    assert turn["no_speech"]


def test_a_prosody_part_of_another_shape_is_refused_by_the_llm(stack: Stack) -> None:
    config = stack.client.get("/v1/config").json()
    part = {"type": "prosody", "data": base64.b64encode(bytes(6)).decode(), "shape": [2, 2]}
    message = {"role": "user", "content": [part, {"type": "text", "text": "Hello"}]}
    url = f"{config['settings']['llm_url']}/v1/chat/completions"
    answer = stack.client.post(url, json={"model": "textpro", "messages": [message]})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_prosody"


def test_a_killed_encoder_is_told_with_a_time_to_retry_and_its_restart_heals(stack: Stack) -> None:
    stack.kill("encoder")
    answer = stack.client.post("/v1/chat", files={"audio": ("speech.wav", CAPITAL)}, data=FIELDS)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["error"]["type"] == "service_unavailable_error"
    stack.start("encoder")
    assert "Paris" in ask(stack, CAPITAL)["reply"]


def test_prometheus_reads_every_stage_of_a_turn(stack: Stack) -> None:
    ask(stack, CAPITAL)
    exposition = stack.client.get("/metrics").text
    for stage in ("decode", "encoder_decode", "prefill", "generate", "total", "first_token"):
        assert f'textpro_stage_seconds_count{{service="gateway",stage="{stage}"}}' in exposition
