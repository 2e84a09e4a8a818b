"""OpenAI's chat completions and models with OpenAI's own Python client, unmodified, and with hands that do wrong."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from openai import APIError, AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError

from services.contracts.errors import Overloaded
from tests.gateway.conftest import House, hum, wav_of

pytestmark = pytest.mark.anyio
PATH = "/v1/chat/completions"
SILENCE = wav_of(0 * hum(100))


def openai_client(house: House) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="none", base_url=f"{house.http.base_url}/v1", max_retries=0)


@pytest.fixture
def served(house: Callable[..., Any]) -> Callable[..., Any]:
    """`served(**settings)`: a gateway with its neighbours, and a client of it."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[tuple[House, AsyncOpenAI]]:
        async with house(**settings) as here, openai_client(here) as client:
            yield here, client

    return opened


def spoken(steps: int = 100, *, data: bytes | None = None) -> dict[str, Any]:
    """A recording that the encoder hears as "number k"."""
    content = base64.b64encode(wav_of(hum(steps)) if data is None else data).decode()
    return {"type": "input_audio", "input_audio": {"data": content, "format": "wav"}}


def written(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


async def complete(client: AsyncOpenAI, *messages: Any, **fields: Any) -> Any:
    return await client.chat.completions.create(model="textpro", messages=list(messages), **fields)


async def post(house: House, **fields: Any) -> httpx.Response:
    return await house.http.post(PATH, json={"messages": [user(written("Hello"))], **fields})


def words(message: dict[str, Any]) -> list[str]:
    content = message["content"]
    return [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]


async def test_a_recording_is_answered_as_what_was_said_with_its_tone_in_front(served) -> None:
    async with served() as (here, client):
        done = await complete(client, user(spoken(70)), max_tokens=9, temperature=0.5, seed=3)
        asked = here.llm.requests[0]
    assert done.choices[0].message.content == "You said: number 70."
    assert (done.choices[0].finish_reason, done.usage.total_tokens) == ("stop", 25)
    assert (done.object, done.model) == ("chat.completion", "textpro")
    vector, text = asked["messages"][0]["content"]
    assert (vector["type"], vector["shape"], text) == ("prosody", [1, 4], written("number 70"))
    assert (asked["max_tokens"], asked["temperature"], asked["seed"]) == (9, 0.5, 3)
    assert done.textpro["transcripts"] == [{"text": "number 70", "no_speech": None}]
    assert done.textpro["prosody"] == "on"


async def test_a_text_alone_is_passed_on_as_it_is(served) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": [written("Again")], "name": "Ann"},
    ]
    async with served() as (here, client):
        done = await complete(client, *messages)
        asked = here.llm.requests[0]["messages"]
    assert asked == [*messages[:3], {"role": "user", "content": "Again", "name": "Ann"}]
    assert done.choices[0].message.content == "You said: Again."
    assert done.textpro["prosody"] == "off"


async def test_with_prosody_off_there_are_the_words_alone(served) -> None:
    async with served() as (here, client):
        done = await complete(client, user(spoken(70)), extra_body={"prosody": "off"})
        assert here.encoder.requests[0].prosody == 0
        assert here.llm.requests[0]["messages"][0]["content"] == "number 70"
    assert done.textpro["prosody"] == "off"


async def test_recordings_of_earlier_messages_are_heard_too_each_in_its_place(served) -> None:
    earlier = {"role": "assistant", "content": "I see."}
    async with served() as (here, client):
        done = await complete(client, user(spoken(70)), earlier, user(written("And"), spoken(80), written("then?")))
        asked = here.llm.requests[0]["messages"]
    assert [words(message) for message in asked] == [["number 70"], ["I see."], ["number 80", "And", "then?"]]
    assert [message["content"][0]["type"] for message in asked[::2]] == ["prosody", "prosody"]
    assert [heard["text"] for heard in done.textpro["transcripts"]] == ["number 70", "number 80"]


async def test_several_recordings_of_a_message_are_one_message_each_with_the_texts_that_follow(served) -> None:
    parts = [written("First"), spoken(70), written("after 70"), spoken(80), written("after 80")]
    async with served() as (here, client):
        await complete(client, user(*parts))
        asked = here.llm.requests[0]["messages"]
    assert [words(message) for message in asked] == [["number 70", "First", "after 70"], ["number 80", "after 80"]]
    assert {message["role"] for message in asked} == {"user"}


async def test_equal_messages_are_equal_bytes_for_the_llm(served) -> None:
    first = user(spoken(70))
    async with served() as (here, client):
        await complete(client, first)
        await complete(client, first, {"role": "assistant", "content": "I see."}, user(written("Go on.")))
        once, again = (request["messages"][0] for request in here.llm.requests)
    assert once == again


async def test_where_nothing_was_said_nothing_is_answered_and_the_llm_is_not_asked(served) -> None:
    async with served() as (here, client):
        done = await complete(client, user(spoken(data=SILENCE)))
        assert here.llm.requests == []
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("", "stop")
    assert done.textpro["transcripts"] == [{"text": "", "no_speech": "silence"}]
    assert done.textpro["prosody"] == "unavailable"


async def test_silence_beside_a_text_leaves_the_text_and_silence_of_the_past_leaves_nothing(served) -> None:
    async with served() as (here, client):
        await complete(client, user(spoken(data=SILENCE)), user(spoken(data=SILENCE), written("Well?")))
        assert here.llm.requests[0]["messages"] == [{"role": "user", "content": "Well?"}]


async def test_a_stream_is_chunks_of_the_same_answer(served) -> None:
    async with served() as (_, client):
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = [chunk async for chunk in await complete(client, user(spoken(70)), **options)]
    *pieces, last, usage = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[0].textpro["transcripts"][0]["text"] == "number 70"
    assert "".join(chunk.choices[0].delta.content for chunk in pieces) == "You said: number 70."
    assert (last.choices[0].finish_reason, last.textpro["prosody"]) == ("stop", "on")
    assert last.textpro["timing_ms"]["first_token"] > 0
    assert (usage.choices, usage.usage.total_tokens) == ([], 25)
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


async def test_a_stream_ends_with_done_and_has_no_usage_unasked(served) -> None:
    async with served() as (here, _):
        answer = await post(here, stream=True)
    lines = answer.text.strip().split("\n\n")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["choices"] for line in lines[:-1])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_function_is_called(served, stream: bool) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    async with served() as (here, client):
        here.llm.call = {"name": "weather", "arguments": '{"city": "Paris"}'}
        fields = {"tools": [tool], "tool_choice": "auto", "stream": stream}
        done = await complete(client, user(spoken(70)), **fields)
        if stream:
            chunks = [chunk async for chunk in done]
            pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]
            name, arguments = pieces[0].function.name, "".join(piece.function.arguments for piece in pieces)
            reason = chunks[-1].choices[0].finish_reason
            assert len(pieces) > 2  # as they came
        else:
            (call,) = done.choices[0].message.tool_calls
            name, arguments, reason = call.function.name, call.function.arguments, done.choices[0].finish_reason
            assert done.choices[0].message.content is None
        assert here.llm.requests[0]["tools"] == [tool]
    assert (name, json.loads(arguments), reason) == ("weather", {"city": "Paris"}, "tool_calls")


async def test_an_answer_can_be_sent_back_as_it_came_with_what_came_of_its_call(served) -> None:
    tool = {"type": "function", "function": {"name": "weather"}}
    async with served() as (here, client):
        here.llm.call = {"name": "weather", "arguments": "{}"}
        done = await complete(client, user(written("Rain?")), tools=[tool])
        message = done.choices[0].message
        output = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Sun."}
        await complete(client, user(written("Rain?")), message, output, tools=[tool])
        asked = here.llm.requests[1]["messages"]
    function = {"name": "weather", "arguments": "{}"}
    assert asked[1] == {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    assert asked[2] == output


async def test_what_shapes_an_answer_is_passed_on_and_what_changes_nothing_is_not(served) -> None:
    shaping = {"top_p": 0.5, "stop": ["."], "frequency_penalty": 1.0, "response_format": {"type": "json_object"}}
    of_vllm = {"top_k": 3, "ignore_eos": True, "repetition_penalty": 1.1}
    async with served() as (here, client):
        await complete(
            client, user(written("Hi")), **shaping, extra_body=of_vllm, user="ann", max_completion_tokens=7.0
        )
        asked = here.llm.requests[0]
    assert {name: asked[name] for name in (*shaping, *of_vllm)} == {**shaping, **of_vllm}
    assert asked["max_tokens"] == 7
    assert asked.keys() == {"model", "messages", "stream", "stream_options", "max_tokens", *shaping, *of_vllm}


async def test_the_stages_add_up_to_the_total(served) -> None:
    async with served() as (_, client):
        times = (await complete(client, user(spoken(70)), user(spoken(80)))).textpro["timing_ms"]
    total, first_token = times.pop("total"), times.pop("first_token")
    assert sum(times.values()) == pytest.approx(total, abs=0.01)
    assert {"receive", "decode", "encoder_encode", "encoder_wire", "prefill", "generate"} <= times.keys()
    assert 0 < first_token <= total


async def test_a_stock_client_that_leaves_aborts_the_generation(served) -> None:
    async with served() as (here, client):
        here.llm.gate.clear()
        stream = await complete(client, user(spoken(70)), stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        async with asyncio.timeout(10):
            await here.llm.aborted.wait()


async def test_hanging_up_before_the_whole_answer_aborts_the_generation(served) -> None:
    async with served() as (here, client):
        here.llm.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(complete(client, user(spoken(70))))
            await here.llm.waiting.acquire()
            call.cancel()
        async with asyncio.timeout(10):
            await here.llm.aborted.wait()

            async def counted() -> bool:
                metrics = (await here.http.get("/metrics")).text
                return 'operation="chat_completions",outcome="cancelled"' in metrics

            await here.until(counted)


async def test_an_llm_that_breaks_off_is_an_error_in_the_stream(served) -> None:
    async with served() as (here, client):
        here.llm.breaks_off = True
        with pytest.raises(APIError, match="broke off its answer"):
            async for _ in await complete(client, user(spoken(70)), stream=True):
                pass


@pytest.mark.parametrize("stream", [False, True])
async def test_what_fails_before_the_answer_begins_has_its_own_status(served, stream: bool) -> None:
    async with served() as (here, client):
        here.encoder.error = Overloaded("64 requests wait", retry_after_s=7)
        with pytest.raises(RateLimitError) as full:
            await complete(client, user(spoken(70)), stream=stream)
        here.encoder.error = None
        here.llm.refusal = (400, {"message": "tools are not supported", "code": "unsupported", "param": "tools"}, {})
        with pytest.raises(BadRequestError) as refused:
            await complete(client, user(written("Hi")), stream=stream)
    assert full.value.response.headers["retry-after"] == "7"
    assert (refused.value.code, refused.value.param) == ("unsupported", "tools")


async def test_too_long_a_conversation_is_told_as_such(served) -> None:
    async with served() as (here, client):
        here.llm.max_turns = 1
        with pytest.raises(BadRequestError) as refused:
            await complete(client, user(written("Hi")), {"role": "assistant", "content": "Hi"}, user(written("Ho")))
    assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0]", "role 'king'"),
        ({"messages": [{"content": "x"}]}, "messages[0]", "discriminator 'role'"),
        ({"messages": [user({"type": "image_url", "image_url": {"url": "x"}})]}, "messages[0].content[0]", "image_url"),
        ({"messages": [user({"type": "prosody", "data": "", "shape": [1, 4]})]}, "messages[0].content[0]", "prosody"),
        ({"messages": [user({"type": "prompt_embeds", "data": ""})]}, "messages[0].content[0]", "prompt_embeds"),
        ({"messages": [user()]}, "messages[0].content", "at least 1"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "5"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
        ({"messages": [{"role": "system", "content": [spoken()]}]}, "messages[0].content[0].type", "text"),
        ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text", "missing"),
        (
            {"messages": [user({"type": "input_audio", "input_audio": {"data": "x", "format": "exe"}})]},
            "messages[0].content[0].input_audio.format",
            "exe",
        ),
        (
            {"messages": [user(written("x"), {"type": "input_audio", "input_audio": {"data": "§"}})]},
            "messages[0].content[1].input_audio.data",
            "not base64",
        ),
        ({"prompt_embeds": "x"}, "prompt_embeds", "not a field"),
        ({"functions": []}, "functions", "not a field"),
        ({"n": 2}, "n", "2"),
        ({"logprobs": True}, "logprobs", ""),
        ({"modalities": ["text", "audio"]}, "modalities[1]", "audio"),
        ({"prosody": "loud"}, "prosody", "loud"),
        ({"stream": "true"}, "stream", "boolean"),
        ({"max_tokens": "5"}, "max_tokens", "integer"),
        ({"n": True}, "n", "integer"),
        ({"temperature": 3}, "temperature", "3"),
        ({"max_tokens": 0}, "max_tokens", "0"),
        ({"max_completion_tokens": 10**6}, "max_completion_tokens", "TEXTPRO_MAX_TOKENS_LIMIT"),
        ({"stop": ["x"] * 17}, "stop", "at most 16"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", "custom"),
        ({"stream_options": {"speed": 1}}, "stream_options.speed", "not a field"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(served, fields, param, said) -> None:
    async with served() as (here, _):
        answer = await post(here, **fields)
        assert here.llm.requests == []
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert param in error["message"]
    assert said in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"messages": NaN}', b'{"a": "\\ud800"}', b"[" * 10_000])
async def test_a_body_that_is_no_request_is_a_bad_request(served, body: bytes) -> None:
    async with served() as (here, _):
        answer = await here.http.post(PATH, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_number_that_cannot_be_sent_on_is_a_bad_request(served) -> None:
    body = b'{"messages": [{"role": "user", "content": "x"}], "response_format": {"type": 1e999}}'
    async with served() as (here, _):
        answer = await here.http.post(PATH, content=body)
    assert answer.status_code == 400


async def test_a_bad_recording_is_told_with_its_place(served) -> None:
    async with served(max_seconds=2) as (here, _):
        broken = await post(here, messages=[user(written("x")), user(written("x"), spoken(data=b"no sound"))])
        long = await post(here, messages=[user(spoken(300))])
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_audio")
    assert broken.json()["error"]["message"].startswith("messages[1].content[1]: ")
    assert (long.status_code, long.json()["error"]["code"]) == (413, "audio_too_long")
    assert "TEXTPRO_MAX_SECONDS" in long.json()["error"]["message"]


async def test_recordings_are_bounded_in_number_and_in_length_together(served) -> None:
    two = [user(spoken(100), spoken(100))]
    async with served(max_recordings=1) as (here, _):
        many = await post(here, messages=two)
    async with served(max_recordings_s=1.5) as (here, _):
        long = await post(here, messages=two)
    assert (many.status_code, many.json()["error"]["param"]) == (400, "messages")
    assert "TEXTPRO_MAX_RECORDINGS)" in many.json()["error"]["message"]
    assert (long.status_code, long.json()["error"]["code"]) == (413, "audio_too_long")
    assert "TEXTPRO_MAX_RECORDINGS_S" in long.json()["error"]["message"]


async def test_completions_and_turns_share_the_seats_and_the_deadline(served, recording) -> None:
    async with served(max_turns=1, turn_timeout_s=1.0) as (here, _):
        here.llm.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(post(here))
            await here.llm.waiting.acquire()
            refused = await here.chat(recording())
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
    assert (first.result().status_code, first.result().json()["error"]["code"]) == (504, "deadline_exceeded")


async def test_completions_are_counted_as_turns(served) -> None:
    async with served() as (here, client):
        await complete(client, user(spoken(100)))
        await complete(client, user(spoken(data=SILENCE)))
        metrics = (await here.http.get("/metrics")).text
    assert 'textpro_requests_total{operation="chat_completions",outcome="ok",service="gateway"} 2.0' in metrics
    assert 'textpro_turns_total{outcome="answered",service="gateway"} 1.0' in metrics
    assert 'textpro_turns_total{outcome="no_speech",service="gateway"} 1.0' in metrics
    assert 'textpro_no_speech_total{reason="silence",service="gateway"} 1.0' in metrics
    assert 'textpro_audio_seconds_total{service="gateway"} 2.0' in metrics


async def test_the_model_is_listed_shown_and_no_other_is_known(served) -> None:
    async with served(model="house/model") as (_, client):
        assert [model.id async for model in client.models.list()] == ["house/model"]
        assert (await client.models.retrieve("house/model")).owned_by == "textpro"
        with pytest.raises(NotFoundError) as missing:
            await client.models.retrieve("gpt-9")
        with pytest.raises(NotFoundError) as asked:
            await complete(client, user(written("Hi")))
    assert (missing.value.code, asked.value.code, asked.value.param) == ("model_not_found", "model_not_found", "model")


async def test_the_documentation_describes_the_request_without_references_that_lead_nowhere(served) -> None:
    async with served() as (here, _):
        document = (await here.http.get("/openapi.json")).json()
    described = document["paths"][PATH]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    assert "$ref" not in json.dumps(schema)
    assert {"messages", "prosody", "tools", "stream_options"} <= schema["properties"].keys()
    assert {"400", "404", "413", "429", "503", "504"} <= described["responses"].keys()
