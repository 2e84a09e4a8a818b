"""A live session between a fake encoder on real gRPC and a fake LLM on real HTTP."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import pytest
from pydantic import ValidationError

from services.contracts.errors import BadRequest, NotFound, Overloaded
from services.contracts.realtime import ResponseWishes
from services.gateway import live_events as tell
from services.gateway.chat import Parts
from services.gateway.conversation import Item
from services.gateway.encoder_client import GrpcEncoder
from services.gateway.hearing import Hearing
from services.gateway.live import LiveSession
from services.gateway.live_events import LiveEvent
from services.gateway.llm_client import HttpLlm
from services.gateway.pressure import Pressure
from services.gateway.settings import GatewaySettings
from services.gateway.silero import VoiceModel
from services.gateway.store import MemoryStore, StoreLimits
from services.gateway.timeline import Timeline
from services.gateway.turn_settings import TurnSettings
from services.gateway.vad import VoiceBatcher
from services.runtime.http import serving
from services.runtime.metrics import Metrics
from tests.gateway.conftest import PATIENCE_S, FakeEncoder, FakeLlm, LoudIsSpeech, hum

pytestmark = pytest.mark.anyio
E = TypeVar("E")
SAMPLES_PER_MS = 16


@dataclass
class Line:
    """A client's end of a session: what it says, and what it is told in order."""

    session: LiveSession
    encoder: FakeEncoder
    llm: FakeLlm
    inbox: asyncio.Queue[LiveEvent]
    metrics: Metrics
    seen: list[LiveEvent] = field(default_factory=list)

    async def speak(self, ms: int) -> None:
        await self.session.hear(hum(ms // 10).tobytes())

    async def silence(self, ms: int) -> None:
        await self.session.hear(bytes(2 * SAMPLES_PER_MS * ms))

    async def until(self, kind: type[E]) -> E:
        """The next event of a kind; those before it are kept in `seen`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = await self.inbox.get()
                self.seen.append(event)
                if isinstance(event, kind):
                    return event

    async def encoded(self) -> None:
        """Until the encoder has answered."""
        tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("encode")]
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)

    async def ask(self) -> tell.ResponseEnded:
        """A spoken question and its answer."""
        await self.speak(960)
        await self.silence(320)
        await self.until(tell.EagerBegun)
        await self.silence(1600)
        return await self.until(tell.ResponseEnded)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.seen]


@asynccontextmanager
async def _line(**settings: Any) -> AsyncIterator[Line]:
    encoder, llm = FakeEncoder(), FakeLlm()
    await encoder.start()
    async with AsyncExitStack() as opened:
        opened.push_async_callback(encoder.stop)
        llm_port = await opened.enter_async_context(serving(llm.app(), "127.0.0.1", 0, drain_s=1))
        parts = Parts(
            settings=GatewaySettings(**settings),
            encoder=GrpcEncoder(f"127.0.0.1:{encoder.port}"),
            llm=HttpLlm(f"http://127.0.0.1:{llm_port}", "textpro", max_connections=4),
            store=MemoryStore(StoreLimits()),
            hearing=Hearing(threads=1, max_seconds=60, max_decoded_bytes=2**20),
            metrics=Metrics("gateway"),
            pressure=Pressure(max_generations=4),
        )
        opened.push_async_callback(parts.encoder.close)
        opened.push_async_callback(parts.llm.close)
        opened.callback(parts.hearing.close)
        opened.callback(llm.gate.set)
        inbox: asyncio.Queue[LiveEvent] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            vad = VoiceBatcher(cast(VoiceModel, LoudIsSpeech()))
            session = LiveSession(parts, vad, inbox.put_nowait, tasks, TurnSettings())
            yield Line(session, encoder, llm, inbox, parts.metrics)
            session.close()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with _line() as opened:
        yield opened


async def test_a_spoken_question_is_answered_before_its_end_is_certain_and_shown_after(line: Line) -> None:
    await line.speak(480)  # too little for its words so far to be looked for
    await line.silence(320)
    await line.until(tell.EagerBegun)
    assert len(line.encoder.requests) == 1
    await line.silence(1600)
    ended = await line.until(tell.ResponseEnded)
    assert line.names() == [
        "SpeechStarted",
        "EagerBegun",
        "SpeechStopped",
        "Committed",
        "ItemAdded",
        "Transcribed",
        "ItemDone",
        "ResponseBegun",
        "OutputAdded",
        "TextDelta",
        "TextDelta",
        "OutputDone",
        "ResponseEnded",
    ]
    assert len(line.encoder.requests) == 1
    response = ended.response
    assert (response.status, response.eager, response.prosody) == ("completed", True, "on")
    question, answer = line.session.conversation.items
    assert answer.text == f"You said: {question.text}."
    assert response.output == [answer]


async def test_the_next_turn_sends_the_last_one_s_bytes_again(line: Line) -> None:
    await line.ask()
    await line.ask()
    first, second = (request["messages"] for request in line.llm.requests)
    assert second[: len(first)] == first
    assert [message["role"] for message in second] == ["user", "assistant", "user"]


async def test_more_speech_throws_the_eager_answer_away(line: Line) -> None:
    line.llm.gate.clear()
    await line.speak(960)
    await line.silence(320)
    await line.until(tell.EagerBegun)
    await line.llm.waiting.acquire()
    await line.speak(320)
    await line.until(tell.TurnResumed)
    async with asyncio.timeout(PATIENCE_S):
        await line.llm.aborted.wait()
    line.llm.gate.set()
    await line.silence(320)
    await line.until(tell.EagerBegun)
    await line.silence(1600)
    await line.until(tell.ResponseEnded)
    assert line.names().count("ResponseBegun") == 1
    assert len(line.session.conversation.items) == 2


async def test_speech_over_an_answer_ends_its_generation_and_keeps_what_was_delivered(line: Line) -> None:
    line.llm.gate.clear()
    await line.speak(960)
    await line.silence(2000)
    await line.until(tell.TextDelta)
    await line.speak(160)
    ended = await line.until(tell.ResponseEnded)
    assert (ended.response.status, ended.response.reason) == ("cancelled", "turn_detected")
    async with asyncio.timeout(PATIENCE_S):
        await line.llm.aborted.wait()
    assert line.session.conversation.items[-1].text == "You said: "
    assert line.session.conversation.items[-1].status == "incomplete"


async def test_a_client_may_commit_and_ask_by_itself(line: Line) -> None:
    line.session.configure({"audio": {"input": {"turn_detection": None}}})
    await line.speak(500)
    line.session.commit()
    await line.until(tell.Transcribed)
    assert not line.llm.requests
    line.session.ask(ResponseWishes(instructions="Be brief.", max_output_tokens=7))
    ended = await line.until(tell.ResponseEnded)
    assert ended.response.output[0].text == "You said: number 50."
    (request,) = line.llm.requests
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert request["max_tokens"] == 7


async def test_typed_words_are_answered_too(line: Line) -> None:
    line.session.add(Item("i1", "user", "Hello."))
    line.session.ask(ResponseWishes())
    ended = await line.until(tell.ResponseEnded)
    assert ended.response.output[0].text == "You said: Hello.."


async def test_what_can_t_be_done_is_refused_by_the_event_s_own_name(line: Line) -> None:
    line.session.commit("e1")
    refused = await line.until(tell.Refused)
    assert (refused.event_id, getattr(refused.error, "code", None)) == ("e1", "input_audio_buffer_commit_empty")
    with pytest.raises(NotFound):
        line.session.delete("nothing")
    with pytest.raises(ValidationError):
        line.session.configure({"max_output_tokens": -1})


async def test_an_encoder_that_fails_loses_the_words_and_not_the_session(line: Line) -> None:
    line.encoder.error = NotFound("gone")
    await line.speak(960)
    await line.silence(2000)
    await line.until(tell.NotTranscribed)
    line.encoder.error = None
    ended = await line.ask()
    assert ended.response.status == "completed"


async def test_an_llm_that_fails_is_told_and_the_next_turn_is_answered(line: Line) -> None:
    line.llm.refusal = (500, {"message": "broken"}, {})
    await line.speak(960)
    await line.silence(2000)
    ended = await line.until(tell.ResponseEnded)
    assert ended.response.status == "failed"
    line.llm.refusal = None
    assert (await line.ask()).response.status == "completed"


async def test_a_conversation_that_does_not_fit_is_cut(line: Line) -> None:
    for _ in range(3):
        await line.ask()
    line.llm.max_turns = 3
    assert (await line.ask()).response.status == "completed"
    assert len(line.llm.requests[-1]["messages"]) <= 3


async def test_nothing_is_left_of_what_was_thrown_away(line: Line) -> None:
    for _ in range(5):
        await line.speak(640)
        await line.silence(320)
        await line.until(tell.EagerBegun)
        await line.speak(320)
        await line.until(tell.TurnResumed)
        await line.silence(3000)
        await line.until(tell.ResponseEnded)
    session = line.session
    assert not session._answered._answers
    assert not session._said._heard
    assert not session._said._encoding
    assert not session._said._items


async def test_a_function_is_called_and_its_result_answered(line: Line) -> None:
    line.llm.call = {"name": "weather", "arguments": '{"city":"Paris"}'}
    line.session.configure({"tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]})
    (call,) = (await line.ask()).response.output
    assert (call.name, call.text) == ("weather", '{"city":"Paris"}')
    assert line.llm.requests[0]["tools"][0]["function"]["name"] == "weather"
    line.session.add(Item("i9", "function_call_output", "sunny", call_id=call.call_id))
    line.session.ask(ResponseWishes())
    ended = await line.until(tell.ResponseEnded)
    assert ended.response.output[0].text == "You said: sunny."
    assert [message["role"] for message in line.llm.requests[1]["messages"]] == ["user", "assistant", "tool"]


async def test_the_same_words_may_be_answered_in_another_tone_or_in_none(line: Line) -> None:
    await line.ask()
    await line.ask()
    first, _, second, _ = line.session.conversation.items
    assert first.prosody is not None
    assert first.prosody != second.prosody
    line.session.ask(ResponseWishes(prosody_from=first.id))
    await line.until(tell.ResponseEnded)
    line.session.ask(ResponseWishes(prosody="off"))
    await line.until(tell.ResponseEnded)
    borrowed, toneless = (request["messages"] for request in line.llm.requests[2:])
    assert borrowed[2]["content"][0] == first.prosody.content_part()
    assert borrowed[2]["content"][1]["text"] == second.text
    assert all(isinstance(message["content"], str) for message in toneless)


async def test_a_tone_is_not_borrowed_where_none_is_wanted(line: Line) -> None:
    await line.ask()
    item_id = line.session.conversation.items[0].id
    with pytest.raises(BadRequest) as refused:
        line.session.ask(ResponseWishes(prosody_from=item_id, prosody="off"))
    assert refused.value.code == "no_prosody"
    line.session.configure({"prosody": "off"})
    with pytest.raises(BadRequest, match="prosody=on"):
        line.session.ask(ResponseWishes(prosody_from=item_id))
    line.session.ask(ResponseWishes(prosody_from=item_id, prosody="on"))
    await line.until(tell.ResponseEnded)
    assert line.llm.requests[-1]["messages"][0]["content"][0]["type"] == "prosody"


async def test_the_tone_that_another_encoder_heard_is_left_out(line: Line) -> None:
    await line.ask()
    line.encoder.fingerprint = "b2"
    await line.ask()
    first, _, second = line.llm.requests[-1]["messages"]
    assert isinstance(first["content"], str)
    assert second["content"][0]["type"] == "prosody"
    with pytest.raises(BadRequest) as refused:
        line.session.ask(ResponseWishes(prosody_from=line.session.conversation.items[0].id))
    assert refused.value.code == "no_prosody"


async def test_a_tone_that_is_deleted_before_the_answer_begins_is_not_heard(line: Line) -> None:
    await line.ask()
    item_id = line.session.conversation.items[0].id
    line.session.configure({"audio": {"input": {"turn_detection": None}}})
    await line.speak(500)
    line.session.commit()
    line.session.ask(ResponseWishes(prosody_from=item_id))
    line.session.delete(item_id)
    assert (await line.until(tell.ResponseEnded)).response.status == "completed"
    own = line.session.conversation.items[1].prosody
    assert own is not None
    assert line.llm.requests[-1]["messages"][-1]["content"][0] == own.content_part()


@pytest.mark.parametrize("wishes", [{"prosody_from": "i1"}, {"conversation": "none"}, {"input": []}])
async def test_a_wish_that_can_t_be_met_is_refused(line: Line, wishes: dict[str, Any]) -> None:
    line.session.add(Item("i1", "user", "Hello."))
    with pytest.raises(BadRequest):
        line.session.ask(ResponseWishes.model_validate(wishes))


async def test_words_are_told_while_they_are_spoken(line: Line) -> None:
    for _ in range(2):
        await line.speak(960)
        await line.encoded()
    partly = await line.until(tell.PartlyTranscribed)
    assert partly.text == "number"
    assert all(request.partial for request in line.encoder.requests)
    await line.silence(1600)
    said = await line.until(tell.Transcribed)
    assert said.item.id == partly.item_id
    assert said.item.text.startswith(partly.text)
    assert not line.encoder.requests[-1].partial


async def test_a_full_house_answers_nothing_on_suspicion(line: Line) -> None:
    line.encoder.error = Overloaded("full", retry_after_s=1)
    await line.speak(960)
    await line.encoded()
    await line.silence(1600)
    await line.until(tell.NotTranscribed)
    line.encoder.error = None
    await line.speak(960)
    await line.silence(640)
    ended = await line.until(tell.ResponseEnded)
    assert (ended.response.status, ended.response.eager) == ("completed", False)
    assert "EagerBegun" not in line.names()


async def test_a_client_may_want_no_eager_answers(line: Line) -> None:
    line.session.configure({"eager": "off"})
    await line.speak(960)
    await line.silence(1600)
    ended = await line.until(tell.ResponseEnded)
    assert not ended.response.eager
    assert "EagerBegun" not in line.names()


async def test_what_became_of_eager_answers_is_counted(line: Line) -> None:
    line.llm.gate.clear()
    await line.speak(960)
    await line.silence(320)
    await line.llm.waiting.acquire()
    await line.speak(320)
    await line.until(tell.TurnResumed)
    line.llm.gate.set()
    await line.silence(320)
    await line.until(tell.EagerBegun)
    await line.silence(1600)
    await line.until(tell.ResponseEnded)
    counted = line.metrics.exposition().decode()
    for outcome in ("promoted", "wasted"):
        assert f'textpro_eager_total{{outcome="{outcome}",service="gateway"}} 1.0' in counted


async def test_the_stage_times_add_up(line: Line) -> None:
    timing_ms = (await line.ask()).response.timing_ms
    assert timing_ms["pause"] > 300
    assert timing_ms["total"] == pytest.approx(sum(timing_ms[name] for name in ("pause", "wait", "generate")), abs=0.2)
    assert timing_ms["first_token"] == pytest.approx(timing_ms["pause"] + timing_ms["wait"], abs=0.2)


@pytest.mark.parametrize("before", ["noise", "a failure", "unanswered words"])
async def test_the_times_of_typed_words_do_not_count_from_older_sound(line: Line, before: str) -> None:
    line.encoder.deaf = before == "noise"
    line.encoder.error = NotFound("gone") if before == "a failure" else None
    vad = {"type": "server_vad", "create_response": before != "unanswered words"}
    line.session.configure({"audio": {"input": {"turn_detection": vad}}})
    await line.speak(960)
    await line.silence(1600)
    await line.until(tell.ItemDone)
    line.session.add(Item("i1", "user", "Hello."))
    line.session.ask(ResponseWishes())
    assert (await line.until(tell.ResponseEnded)).response.timing_ms["pause"] == 0


async def test_what_was_made_on_suspicion_is_not_kept_however_long_the_conversation(line: Line) -> None:
    def kept() -> int:
        gc.collect()
        return sum(type(thing) in (tell.Response, Timeline) for thing in gc.get_objects())

    async def hesitate() -> None:
        """A whole answer is thrown away, and then what was said is taken back."""
        await line.speak(960)
        await line.silence(320)
        await line.until(tell.EagerBegun)
        answering = [task for task in asyncio.all_tasks() if task.get_name().startswith("answer")]
        await asyncio.wait(answering, timeout=PATIENCE_S)
        await line.speak(320)
        await line.until(tell.TurnResumed)
        line.session.clear()
        await line.until(tell.Cleared)
        line.seen.clear()

    await hesitate()
    before = kept()
    for _ in range(10):
        await hesitate()
    assert kept() == before
    wasted = line.metrics.registry.get_sample_value("textpro_eager_total", {"service": "gateway", "outcome": "wasted"})
    assert wasted == 11
