"""What every LLM engine promises on the wire. Both run the same SmolLM2 behind the same middleware."""

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from services.llm.soft_tokens import MAX_VECTORS

WIDTH = 256
CHAT = "/v1/chat/completions"
PARIS = [{"role": "user", "content": "What is the capital of France?"}]
LONG = [{"role": "user", "content": "Write a very long story about a dragon."}]


def prosody(n: int = 1, width: int = WIDTH, seed: int = 1, **changed: Any) -> dict[str, Any]:
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype("<f2")
    part = {"type": "prosody", "data": base64.b64encode(vectors.tobytes()).decode(), "shape": [n, width]}
    return {**part, **changed}


def spoken_user(*parts: dict[str, Any], text: str = "What is the capital of France?") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def ask(client: httpx.Client, messages: list[dict[str, Any]], **fields: Any) -> httpx.Response:
    return client.post(CHAT, json={"model": "textpro", "messages": messages, "temperature": 0, **fields})


def text(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def events(response: httpx.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_greedy_answer_is_right(client: httpx.Client) -> None:
    answer = ask(client, PARIS, max_tokens=20)
    assert text(answer) == "The capital of France is Paris."
    body = answer.json()
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["model"] == "textpro"
    assert body["object"] == "chat.completion"
    assert answer.headers["x-textpro-prosody"] == "off"


def test_a_stream_joined_is_the_whole_answer(client: httpx.Client) -> None:
    whole = ask(client, LONG, max_tokens=24)
    request = {"messages": LONG, "temperature": 0, "max_tokens": 24, "stream": True}
    with client.stream("POST", CHAT, json={**request, "stream_options": {"include_usage": True}}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        chunks = events(response)
    deltas = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]]
    assert "".join(deltas) == text(whole)
    assert sum(bool(delta) for delta in deltas) > 5
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "length"
    assert chunks[-1]["choices"] == []
    usage = chunks[-1]["usage"]
    assert {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        name: whole.json()["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }


def test_a_stream_without_include_usage_has_no_usage_chunk(client: httpx.Client) -> None:
    with client.stream("POST", CHAT, json={"messages": PARIS, "max_tokens": 3, "stream": True}) as response:
        assert all(chunk["choices"] for chunk in events(response))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stop", ["France", [" is Par", "Rome"]])
def test_a_stop_string_ends_the_answer_and_is_not_shown(client: httpx.Client, stop: Any, stream: bool) -> None:
    request = {"messages": PARIS, "temperature": 0, "max_tokens": 20, "stop": stop, "stream": stream}
    answer = client.post(CHAT, json=request)
    expected = "The capital of " if stop == "France" else "The capital of France"
    if not stream:
        assert text(answer) == expected
        assert answer.json()["choices"][0]["finish_reason"] == "stop"
        return
    chunks = [chunk["choices"][0] for chunk in events(answer)]
    assert "".join(chunk["delta"].get("content") or "" for chunk in chunks) == expected
    assert chunks[-1]["finish_reason"] == "stop"


def test_max_tokens_bounds_the_answer(client: httpx.Client) -> None:
    body = ask(client, LONG, max_tokens=5).json()
    assert body["usage"]["completion_tokens"] == 5
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 5


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(client: httpx.Client) -> None:
    one, same, other = (
        text(ask(client, LONG, max_tokens=24, temperature=1.0, top_p=0.9, seed=seed)) for seed in (7, 7, 8)
    )
    assert one == same
    assert one != other


def test_a_caller_that_hangs_up_ends_the_generation(client: httpx.Client) -> None:
    request = {"messages": LONG, "max_tokens": 1000, "stream": True, "temperature": 0}
    with client.stream("POST", CHAT, json=request) as response:
        lines = response.iter_lines()
        while '"content":' not in next(lines):
            pass
        assert running(client) == 1
    assert any(running(client) == 0 for _ in range(100)), "the generation goes on"


def running(client: httpx.Client) -> int:
    metrics = client.get("/metrics/", follow_redirects=True).text
    names = ("vllm:num_requests_running{", 'textpro_in_flight{operation="chat"')
    return sum(int(float(line.split()[-1])) for line in metrics.splitlines() if line.startswith(names))


@pytest.mark.parametrize("n", [1, 2, 7, MAX_VECTORS])
def test_prosody_of_any_count_is_taken_as_one_soft_token_and_a_newline(client: httpx.Client, n: int) -> None:
    plain = ask(client, PARIS, max_tokens=1).json()["usage"]["prompt_tokens"]
    answer = ask(client, spoken_user(prosody(n)), max_tokens=1)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-textpro-prosody"] == "on"
    assert answer.json()["usage"]["prompt_tokens"] == plain + 2


def test_earlier_turns_keep_their_prosody(client: httpx.Client) -> None:
    said = {"role": "assistant", "content": "The capital of France is Paris."}
    history = [*spoken_user(prosody()), said, *spoken_user(prosody(seed=2), text="And of Spain?")]
    plain = [*PARIS, said, {"role": "user", "content": "And of Spain?"}]
    counts = [ask(client, messages, max_tokens=1).json()["usage"]["prompt_tokens"] for messages in (history, plain)]
    assert counts[0] == counts[1] + 4


def test_a_streamed_answer_says_whether_prosody_was_heard(client: httpx.Client) -> None:
    request = {"messages": spoken_user(prosody()), "max_tokens": 2, "stream": True}
    with client.stream("POST", CHAT, json=request) as response:
        assert response.headers["x-textpro-prosody"] == "on"
        assert len(events(response)) >= 2


def not_finite(value: float) -> str:
    vectors = np.zeros((1, WIDTH), dtype="<f2")
    vectors[0, 3] = value
    return base64.b64encode(vectors.tobytes()).decode()


BAD_PARTS = {
    "another width": prosody(width=128),
    "too many vectors": prosody(MAX_VECTORS + 1),
    "no vector": prosody(shape=[0, WIDTH]),
    "one dimension": prosody(shape=[WIDTH]),
    "three dimensions": prosody(shape=[1, 1, WIDTH]),
    "a shape of texts": prosody(shape=["1", "256"]),
    "a shape of booleans": prosody(shape=[True, WIDTH]),
    "no shape": prosody(shape=None),
    "fewer bytes than the shape": prosody(shape=[2, WIDTH]),
    "no base64": prosody(data="%%%"),
    "no data": prosody(data=None),
    "not a number": prosody(data=not_finite(np.nan)),
    "infinity": prosody(data=not_finite(np.inf)),
}


@pytest.mark.parametrize("part", BAD_PARTS.values(), ids=BAD_PARTS)
def test_bad_prosody_is_refused_and_named(client: httpx.Client, part: dict[str, Any]) -> None:
    answer = ask(client, spoken_user(part))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (
        "invalid_prosody",
        "messages[0].content[0]",
        "invalid_request_error",
    )


@pytest.mark.parametrize(
    "messages",
    [
        spoken_user(prosody(), prosody(seed=2)),
        [{"role": "user", "content": [{"type": "text", "text": "Hello"}, prosody()]}],
        [{"role": "system", "content": [prosody(), {"type": "text", "text": "Be kind."}]}, *PARIS],
    ],
    ids=["two in one message", "behind the text", "in a system message"],
)
def test_prosody_in_another_place_is_refused(client: httpx.Client, messages: list[dict[str, Any]]) -> None:
    answer = ask(client, messages)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_prosody")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": PARIS, "temperature": -1},
        {"messages": PARIS, "top_p": 0},
        {"messages": PARIS, "max_tokens": -3},
        {"messages": "hello"},
        {},
        [],
        {"messages": [{"role": "user", "content": "<prompt_embeds>"}]},
        {"messages": [{"role": "user", "content": "word " * 9000}]},
    ],
    ids=["no message", "temperature", "top_p", "max_tokens", "a text", "nothing", "a list", "placeholder", "too long"],
)
def test_a_request_that_makes_no_sense_is_refused(client: httpx.Client, body: Any) -> None:
    answer = client.post(CHAT, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_a_body_that_is_not_json_is_refused(client: httpx.Client) -> None:
    for content in (b"", b"{", b"[" * 100_000, b"\xff\xfe"):
        answer = client.post(CHAT, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400, content[:10]
        assert answer.json()["error"]["code"] == "invalid_json"


def test_a_body_over_the_limit_is_refused(client: httpx.Client) -> None:
    answer = client.post(CHAT, content=b" " * (9 * 1024 * 1024), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "TEXTPRO_LLM_MAX_BODY_BYTES" in answer.json()["error"]["message"]


def test_another_models_name_is_not_found(client: httpx.Client) -> None:
    assert ask(client, PARIS, model="gpt-4o").status_code == 404


def test_the_service_says_what_it_is(client: httpx.Client) -> None:
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["textpro"]
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["ready"] is True
    assert client.get("/health").status_code == 200
    config = client.get("/v1/config").json()
    assert config["engine"] in ("vllm", "transformers")
    assert {name: config[name] for name in ("prosody", "layout", "wants", "width")} == {
        "prosody": "on",
        "layout": "global",
        "wants": "pooled",
        "width": WIDTH,
    }
