"""What the middleware refuses, drops and lets through, spoken to over HTTP."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI

from services.contracts.errors import BadRequest
from services.llm.prosody import ProsodyMiddleware
from services.llm.settings import LlmSettings
from services.llm.soft_tokens import read_rows, write_rows
from services.llm.spoken_turns import SpokenTurns
from textpro.bundle import Bundle
from textpro.errors import BundleError
from textpro.projector import Projector

CHAT = "/v1/chat/completions"
PART = {
    "type": "prosody",
    "data": base64.b64encode(np.ones((1, 256), dtype="<f2").tobytes()).decode(),
    "shape": [1, 256],
}
ROWS = write_rows(torch.zeros(1, 576))


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "text", "text": "What is the capital of France?"}
    return {"messages": [{"role": "user", "content": [*parts, text]}], "temperature": 0, "max_tokens": 12}


def test_without_a_projector_prosody_is_dropped_and_the_answer_is_the_text_models(
    make_bundle: Callable[..., Path], serve_bundle: Callable[[Path], Any]
) -> None:
    with serve_bundle(make_bundle(projector=False)) as client:
        heard, plain = client.post(CHAT, json=user(PART)), client.post(CHAT, json=user())
        assert client.get("/v1/config").json()["prosody"] == "unavailable"
        alone = client.post(CHAT, json={"messages": [{"role": "user", "content": [PART]}], "max_tokens": 1})
    assert heard.headers["x-textpro-prosody"] == "unavailable"
    assert plain.headers["x-textpro-prosody"] == "off"
    assert heard.json()["choices"] == plain.json()["choices"]
    assert heard.json()["usage"] == plain.json()["usage"]
    assert alone.status_code == 200


@pytest.mark.parametrize("part", [ROWS, {"prompt_embeds": ROWS["data"]}], ids=["a part", "a part without type"])
def test_soft_tokens_from_a_client_are_refused(
    part: dict[str, str], make_bundle: Callable[..., Path], serve_bundle: Callable[[Path], Any]
) -> None:
    with serve_bundle(make_bundle()) as client:
        answer = client.post(CHAT, json=user(part))
        top = client.post(CHAT, json={**user(), "prompt_embeds": ROWS["data"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "prompt_embeds_refused")
    assert (top.status_code, top.json()["error"]["code"]) == (400, "prompt_embeds_refused")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/tokenize", "/v1/chat/completions/batch"])
def test_a_route_that_could_carry_soft_tokens_past_the_check_does_not_exist(
    path: str, make_bundle: Callable[..., Path], serve_bundle: Callable[[Path], Any]
) -> None:
    with serve_bundle(make_bundle()) as client:
        answer = client.post(path, json={"prompt_embeds": ROWS["data"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_websocket_is_closed_before_it_opens(make_bundle: Callable[..., Path], model_dir: Path) -> None:
    middleware, sent = _over(_never, make_bundle(), model_dir), []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(middleware({"type": "websocket", "path": "/v1/realtime", "headers": []}, _silent, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_engine_gets_a_length_that_fits_the_body_and_the_callers_hang_up(
    make_bundle: Callable[..., Path], model_dir: Path
) -> None:
    seen: dict[str, Any] = {}

    async def engine(scope: Any, receive: Any, send: Any) -> None:
        seen["length"] = dict(scope["headers"])[b"content-length"]
        seen["body"] = (await receive())["body"]
        seen["then"] = (await receive())["type"]

    pieces = [
        {"type": "http.request", "body": b'{"messages": [{"role": "user", ', "more_body": True},
        {"type": "http.request", "body": b'"content": "Hi"}]}', "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return pieces.pop(0)

    headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers}
    asyncio.run(_over(engine, make_bundle(), model_dir)(scope, receive, _discard))
    assert int(seen["length"]) == len(seen["body"])
    assert seen["then"] == "http.disconnect"


def test_a_trusted_clients_soft_tokens_are_checked_all_the_same(
    make_bundle: Callable[..., Path], model_dir: Path
) -> None:
    path = make_bundle()
    settings = LlmSettings(bundle=str(path), allow_prompt_embeds=True)
    turns = SpokenTurns.load(settings, Bundle.load(path), model_dir)
    assert turns.project(user(ROWS))[0]["messages"][0]["content"][0] == ROWS
    bad = [torch.zeros(1, 8), torch.zeros(576), torch.full((1, 576), torch.nan), torch.zeros(1, 576).long()]
    for rows in bad:
        with pytest.raises(BadRequest):
            turns.project(user(write_rows(rows)))


@pytest.mark.parametrize("data", ["", "AAAA", None, "no base64!"])
def test_bytes_that_are_no_tensor_are_refused(data: Any) -> None:
    with pytest.raises(BadRequest):
        read_rows({"data": data}, 576, 8, "here")


@pytest.mark.parametrize("place", ["shape", "transcript"])
def test_half_of_a_surrogate_pair_is_a_bad_request(
    place: str, make_bundle: Callable[..., Path], serve_bundle: Callable[[Path], Any]
) -> None:
    half = "\ud800"
    part, text = (PART | {"shape": half}, "Hi") if place == "shape" else (PART, half)
    request = {"messages": [{"role": "user", "content": [part, {"type": "text", "text": text}]}]}
    with serve_bundle(make_bundle("interleaved")) as client:
        answer = client.post(CHAT, content=json.dumps(request), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages[0].content[0]")


def test_head_asks_an_engine_that_answers_get_alone(
    hollow_bundle: Path, tiny_llm: Path, serve_app: Callable[[Any], Any]
) -> None:
    engine = FastAPI()
    engine.get("/health")(lambda: None)
    settings = LlmSettings(bundle=str(hollow_bundle), model=str(tiny_llm))
    with serve_app(ProsodyMiddleware(engine, settings=settings)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/readyz").status_code == client.head("/readyz").status_code == 200


def test_the_same_vector_gives_the_same_bytes(make_bundle: Callable[..., Path], model_dir: Path) -> None:
    path = make_bundle()
    turns = SpokenTurns.load(LlmSettings(bundle=str(path)), Bundle.load(path), model_dir)
    assert turns.project(user(PART)) == turns.project(user(PART))


def test_an_interleaved_turn_is_one_block_with_the_transcripts_tokens_in_it(
    make_bundle: Callable[..., Path], model_dir: Path
) -> None:
    path = make_bundle("interleaved")
    turns = SpokenTurns.load(LlmSettings(bundle=str(path)), Bundle.load(path), model_dir)
    request, _ = turns.project(user(PART))
    content = request["messages"][0]["content"]
    assert [part["type"] for part in content] == ["prompt_embeds"]
    # Seven tokens of text take two groups of five.
    assert read_rows(content[0], 576, 64, "here").shape == (7 + 2, 576)


def test_a_projector_for_another_llm_is_refused(make_bundle: Callable[..., Path], model_dir: Path) -> None:
    path = make_bundle()
    Projector(256, 32).save(path / "projector.safetensors")
    with pytest.raises(BundleError, match="embeddings of 576"):
        SpokenTurns.load(LlmSettings(), Bundle.load(path), model_dir)


def test_a_request_is_not_changed_in_place(make_bundle: Callable[..., Path], model_dir: Path) -> None:
    path = make_bundle()
    request = user(PART)
    SpokenTurns.load(LlmSettings(bundle=str(path)), Bundle.load(path), model_dir).project(request)
    assert request == user(PART)


def _over(app: Any, path: Path, model_dir: Path) -> ProsodyMiddleware:
    settings = LlmSettings(bundle=str(path))
    return ProsodyMiddleware(app, settings=settings, turns=SpokenTurns.load(settings, Bundle.load(path), model_dir))


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the engine was reached")


async def _silent() -> Any:
    raise AssertionError("nothing was to be read")


async def _discard(message: Any) -> None:
    del message


def test_an_unsupported_field_is_refused_by_the_transformers_engine(
    make_bundle: Callable[..., Path], serve_bundle: Callable[[Path], Any]
) -> None:
    with serve_bundle(make_bundle()) as client:
        client: httpx.Client
        for field in ({"n": 2}, {"tools": [{"type": "function"}]}, {"logprobs": True}, {"frequency_penalty": 0.5}):
            answer = client.post(CHAT, json={**user(), **field})
            assert answer.status_code == 400, field
        fine = {"tools": [], "user": "me", "logprobs": False, "frequency_penalty": 0, "max_tokens": 1}
        assert client.post(CHAT, json={**user(), **fine}).status_code == 200
        image = {"type": "image_url", "image_url": {"url": "http://x"}}
        assert client.post(CHAT, json=user(image)).status_code == 400
