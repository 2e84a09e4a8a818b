"""POST /v1/chat over real sockets: what a turn answers, and what the encoder and the LLM are asked."""

import asyncio
import base64
import json

import numpy as np
import pytest

from tests.gateway.conftest import WIDTH

pytestmark = pytest.mark.anyio
FIELDS = ["session_id", "turn_id", "transcript", "reply", "prosody", "no_speech", "finish_reason", "usage", "timing_ms"]


async def test_a_form_with_a_recording_is_answered_with_transcript_and_reply(house, recording) -> None:
    async with house() as here:
        answer = await here.chat(recording(70), max_tokens=9, temperature=0.5, seed=3, instructions="Be brief.")
    body = answer.json()
    assert answer.status_code == 200
    assert list(body) == FIELDS
    assert (body["transcript"], body["reply"]) == ("number 70", "You said: number 70.")
    assert (body["prosody"], body["no_speech"], body["finish_reason"]) == ("on", None, "stop")
    assert body["usage"] == {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    asked = here.llm.requests[0]
    assert (asked["max_tokens"], asked["temperature"], asked["seed"], asked["stream"]) == (9, 0.5, 3, True)
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_a_raw_body_with_a_query_gives_the_same_answer_as_a_form(house, recording) -> None:
    async with house() as here:
        raw = await here.http.post("/v1/chat", content=recording(70), headers={"content-type": "audio/wav"})
        form = await here.chat(recording(70))
    assert raw.json()["reply"] == form.json()["reply"]
    assert here.encoder.requests[0].pcm16 == here.encoder.requests[1].pcm16


async def test_an_answer_may_have_any_of_unicode_s_line_ends(house, recording) -> None:
    async with house() as here:
        here.llm.begins = "a\u2028b\u2029c\x85d\r\n"
        whole = (await here.chat(recording(70))).json()
        streamed = await here.events(recording(70))
    assert whole["reply"] == "a\u2028b\u2029c\x85d\r\nnumber 70."
    assert "".join(data["text"] for name, data in streamed if name == "delta") == whole["reply"]


async def test_the_vector_goes_in_front_of_the_words_exactly_as_the_encoder_gave_it(house, recording) -> None:
    async with house() as here:
        await here.chat(recording(70))
    vector, text = here.llm.requests[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "number 70"}
    assert (vector["type"], vector["shape"]) == ("prosody", [1, 4])
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(vector["data"]), "<f2"), np.full(4, 70, "<f2"))


async def test_with_prosody_off_no_vector_is_made_sent_or_kept(house, recording) -> None:
    async with house() as here:
        body = (await here.chat(recording(), prosody="off")).json()
        kept = (await here.http.get(f"/v1/sessions/{body['session_id']}")).json()
    assert body["prosody"] == "off"
    assert here.encoder.requests[0].prosody == 0
    assert here.llm.requests[0]["messages"][0]["content"] == "number 100"
    assert kept["turns"][0]["has_prosody"] is False


async def test_words_can_be_answered_in_the_tone_of_an_earlier_turn(house, recording) -> None:
    async with house() as here:
        first = (await here.chat(recording(70))).json()
        await here.chat(recording(80), session_id=first["session_id"], prosody_from=first["turn_id"])
        await here.chat(recording(90), session_id=first["session_id"])
    asked = [request["messages"] for request in here.llm.requests]
    borrowed, own = asked[1][-1]["content"]
    assert own["text"] == "number 80"
    assert borrowed == asked[0][-1]["content"][0]
    assert here.encoder.requests[1].prosody == 0  # nobody asks for a vector that is not used
    assert asked[2][2] == asked[1][-1]  # and it is kept as it was sent


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"prosody_from": "t_1"}, (400, None), "needs a session_id"),
        ({"prosody_from": "t_1", "session": True, "prosody": "off"}, (400, "no_prosody"), "needs prosody=on"),
        ({"prosody_from": "t_1", "session": True}, (404, "turn_not_found"), "keeps no turn 't_1'"),
        ({"prosody_from": "first", "session": True}, (400, "no_prosody"), "without prosody"),
    ],
)
async def test_a_tone_that_cannot_be_borrowed_is_refused(house, recording, fields, status, message) -> None:
    async with house() as here:
        first = (await here.chat(recording(), prosody="off")).json()
        if fields.pop("session", False):
            fields["session_id"] = first["session_id"]
        if fields["prosody_from"] == "first":
            fields["prosody_from"] = first["turn_id"]
        answer = await here.chat(recording(), **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (*status, "prosody_from")
    assert message in error["message"]


async def test_without_prosody_the_earlier_turns_come_without_it_too(house, recording) -> None:
    async with house() as here:
        session = (await here.chat(recording(70))).json()["session_id"]
        await here.chat(recording(80), session_id=session, prosody="off")
        await here.chat(recording(90), session_id=session)
    toneless, heard = (request["messages"] for request in here.llm.requests[1:])
    assert [message["content"] for message in toneless[::2]] == ["number 70", "number 80"]
    assert [len(message["content"]) == 2 for message in heard[::2]] == [True, False, True]


async def test_the_vectors_of_another_encoder_are_not_sent_and_not_borrowed(house, recording) -> None:
    async with house() as here:
        first = (await here.chat(recording(70))).json()
        here.encoder.fingerprint, here.encoder.width = "b2", WIDTH + 1
        asked = {"session_id": first["session_id"]}
        refused = await here.chat(recording(80), prosody_from=first["turn_id"], **asked)
        answered = await here.chat(recording(90), **asked)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_prosody")
    assert answered.status_code == 200
    earlier, _, own = here.llm.requests[-1]["messages"]
    assert earlier["content"] == "number 70"
    assert own["content"][0]["shape"] == [1, WIDTH + 1]


async def test_an_llm_without_projector_makes_prosody_unavailable(house, recording) -> None:
    async with house() as here:
        here.llm.prosody_state = "unavailable"
        assert (await here.chat(recording())).json()["prosody"] == "unavailable"


async def test_silence_is_answered_with_its_reason_and_nothing_is_sent_to_the_llm_or_kept(house, silence) -> None:
    async with house() as here:
        answer = await here.chat(silence)
        body = answer.json()
        kept = (await here.http.get(f"/v1/sessions/{body['session_id']}")).json()
    assert answer.status_code == 200
    assert (body["no_speech"], body["reply"], body["transcript"], body["finish_reason"]) == ("silence", "", "", None)
    assert body["usage"]["total_tokens"] == 0
    assert here.llm.requests == []
    assert kept["turns"] == []


async def test_the_stages_add_up_to_the_total_and_the_first_token_comes_before_it(house, recording) -> None:
    async with house() as here:
        times = (await here.chat(recording())).json()["timing_ms"]
    total, first_token = times.pop("total"), times.pop("first_token")
    assert sum(times.values()) == pytest.approx(total, abs=0.01)
    assert {"receive", "decode", "session", "encoder_queue", "encoder_wire", "prefill", "generate", "other"} <= set(
        times
    )
    assert 0 < first_token <= total
    assert min(times.values()) >= 0


async def test_a_stream_is_the_transcript_the_deltas_and_the_whole_turn(house, recording) -> None:
    async with house() as here:
        events = await here.events(recording(70))
    assert [name for name, _ in events] == ["transcript", "delta", "delta", "done"]
    assert events[0][1]["transcript"] == "number 70"
    assert "".join(data["text"] for name, data in events if name == "delta") == events[-1][1]["reply"]
    assert list(events[-1][1]) == FIELDS


async def test_the_accept_header_asks_for_a_stream_too(house, silence) -> None:
    async with house() as here:
        answer = await here.http.post("/v1/chat", content=silence, headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("event: ") == 2  # transcript and done; no word is invented


async def test_thirty_two_calls_at_once_each_get_their_own_answer(house, recording) -> None:
    numbers = range(40, 72)
    async with house() as here:
        answers = await asyncio.gather(*(here.chat(recording(number)) for number in numbers))
    bodies = [answer.json() for answer in answers]
    assert [body["reply"] for body in bodies] == [f"You said: number {number}." for number in numbers]
    assert len({body["session_id"] for body in bodies}) == len({body["turn_id"] for body in bodies}) == 32


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_a_second_turn_sends_the_same_bytes_again_in_front_of_its_own(house, recording, redis_url, store) -> None:
    async with house(redis_url=redis_url if store == "redis" else None) as here:
        session_id = (await here.chat(recording(70), instructions="Be kind.")).json()["session_id"]
        await here.chat(recording(80), session_id=session_id)
    first, second = (request["messages"] for request in here.llm.requests)
    assert json.dumps(second[: len(first)]) == json.dumps(first)
    assert second[len(first)] == {"role": "assistant", "content": "You said: number 70."}
    assert len(second) == len(first) + 2


async def test_another_gateway_goes_on_with_a_session_kept_in_redis(house, recording, redis_url) -> None:
    async with house(redis_url=redis_url) as one:
        session_id = (await one.chat(recording(70))).json()["session_id"]
    async with house(redis_url=redis_url) as other:
        answer = await other.chat(recording(80), session_id=session_id)
    assert answer.status_code == 200
    assert len(other.llm.requests[0]["messages"]) == 3


async def test_two_turns_of_one_session_at_once_do_not_mix(house, recording) -> None:
    async with house() as here:
        session_id = (await here.chat(recording(60))).json()["session_id"]
        answers = await asyncio.gather(*(here.chat(recording(n), session_id=session_id) for n in (70, 80)))
        kept = (await here.http.get(f"/v1/sessions/{session_id}")).json()["turns"]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [len(request["messages"]) for request in here.llm.requests] == [1, 3, 5]
    assert sorted(turn["transcript"] for turn in kept) == ["number 60", "number 70", "number 80"]


async def test_a_turn_that_waits_too_long_for_the_one_before_it_is_told_so(house, recording) -> None:
    async with house(session_wait_s=0.05) as here:
        session_id = (await here.chat(recording())).json()["session_id"]
        here.llm.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(here.chat(recording(), session_id=session_id))
            await here.llm.waiting.acquire()
            await here.llm.waiting.acquire()
            second = await here.chat(recording(), session_id=session_id)
            here.llm.gate.set()
    assert first.result().status_code == 200
    assert (second.status_code, second.json()["error"]["code"]) == (429, "session_busy")
    assert second.headers["retry-after"] == "1"


async def test_new_instructions_hold_from_their_turn_on(house, recording) -> None:
    async with house() as here:
        session_id = (await here.chat(recording(), instructions="One.")).json()["session_id"]
        await here.chat(recording(), session_id=session_id, instructions="Two.")
        await here.chat(recording(), session_id=session_id)
    assert [request["messages"][0]["content"] for request in here.llm.requests] == ["One.", "Two.", "Two."]


async def test_a_history_over_the_context_is_cut_and_the_turn_is_answered(house, recording) -> None:
    async with house() as here:
        session_id = (await here.chat(recording())).json()["session_id"]
        for _ in range(3):
            await here.chat(recording(), session_id=session_id)
        here.llm.max_turns = 6  # what the gateway can't know: its estimate said that nine messages fit
        answer = await here.chat(recording(), session_id=session_id)
    assert answer.status_code == 200
    assert [len(request["messages"]) for request in here.llm.requests[-2:]] == [9, 5]


async def test_a_small_context_is_kept_to_without_asking_twice(house, recording) -> None:
    async with house(max_tokens=32) as here:
        here.llm.context_tokens = 120
        session_id = (await here.chat(recording())).json()["session_id"]
        for _ in range(6):
            assert (await here.chat(recording(), session_id=session_id)).status_code == 200
    assert len(here.llm.requests) == 7
    assert max(len(request["messages"]) for request in here.llm.requests) < 13


async def test_a_deleted_session_is_gone_and_the_next_call_with_it_is_not_found(house, recording) -> None:
    async with house() as here:
        session_id = (await here.chat(recording())).json()["session_id"]
        assert (await here.http.delete(f"/v1/sessions/{session_id}")).json() == {
            "session_id": session_id,
            "deleted": True,
        }
        assert (await here.http.delete(f"/v1/sessions/{session_id}")).status_code == 404
        answer = await here.chat(recording(), session_id=session_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_not_found")
    assert len(here.llm.requests) == 1


async def test_a_shown_session_has_text_and_no_vectors(house, recording) -> None:
    async with house() as here:
        body = (await here.chat(recording(70))).json()
        shown = await here.http.get(f"/v1/sessions/{body['session_id']}")
    turn = shown.json()["turns"][0]
    assert (turn["turn_id"], turn["transcript"], turn["has_prosody"]) == (body["turn_id"], "number 70", True)
    assert "data" not in shown.text
    assert 0 < shown.json()["expires_in_s"] <= 3600
