"""What the transformers server alone decides: a full house, a hang-up that makes room, a drain, the context."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from services.llm.settings import LlmSettings
from services.llm.spoken_turns import SpokenTurns
from services.llm.transformers_engine import TransformersEngine
from services.llm.transformers_server import create_app
from services.llm.worker import Worker
from services.runtime.lifecycle import Readiness
from services.runtime.metrics import Metrics
from textpro.bundle import Bundle

CHAT = "/v1/chat/completions"
LONG = {"messages": [{"role": "user", "content": "Write a very long story."}], "max_tokens": 1000, "temperature": 0}
SHORT = {**LONG, "max_tokens": 1}
ROOM_S = 30.0


@contextmanager
def house_for_one(
    reference: Any, path: Path, model_dir: Path, serve: Callable[[Any], Any], readiness: Readiness
) -> Iterator[httpx.Client]:
    settings = LlmSettings(bundle=str(path))
    turns = SpokenTurns.load(settings, Bundle.load(path), model_dir)
    metrics = Metrics("llm")
    with Worker(concurrency=1, queue=0) as worker:
        parts = (reference.model, reference.tokenizer, reference.template, worker, metrics)
        engine = TransformersEngine(*parts, max_tokens=2000, context=512)
        app = create_app(settings, turns, engine, readiness, metrics)
        with serve(app) as url, httpx.Client(base_url=url, timeout=60) as client:
            yield client


def room_comes(client: httpx.Client) -> bool:
    give_up_s = time.monotonic() + ROOM_S
    while time.monotonic() < give_up_s:
        if client.post(CHAT, json=SHORT).status_code == 200:
            return True
    return False


def test_a_full_house_refuses_at_once_and_a_hang_up_makes_room(
    reference: Any, make_bundle: Callable[..., Path], model_dir: Path, serve_app: Callable[[Any], Any]
) -> None:
    with house_for_one(reference, make_bundle(), model_dir, serve_app, Readiness()) as client:
        with client.stream("POST", CHAT, json={**LONG, "stream": True}) as response:
            next(response.iter_lines())
            for stream in (False, True):
                refused = client.post(CHAT, json={**SHORT, "stream": stream})
                assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
                assert int(refused.headers["retry-after"]) >= 1
        assert room_comes(client)


def test_a_caller_that_gives_up_on_a_whole_answer_makes_room_too(
    reference: Any, make_bundle: Callable[..., Path], model_dir: Path, serve_app: Callable[[Any], Any]
) -> None:
    with house_for_one(reference, make_bundle(), model_dir, serve_app, Readiness()) as client:
        try:
            client.post(CHAT, json=LONG, timeout=0.5)
        except httpx.ReadTimeout:
            pass
        else:
            raise AssertionError("the answer was too quick for this test")
        assert room_comes(client)


def test_a_draining_server_takes_no_new_request(
    reference: Any, make_bundle: Callable[..., Path], model_dir: Path, serve_app: Callable[[Any], Any]
) -> None:
    readiness = Readiness()
    with house_for_one(reference, make_bundle(), model_dir, serve_app, readiness) as client:
        readiness.drain()
        assert client.post(CHAT, json=SHORT).status_code == 503
        assert client.get("/readyz").status_code == 503
        assert client.get("/health").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_the_context_bounds_prompt_and_answer(
    reference: Any, make_bundle: Callable[..., Path], model_dir: Path, serve_app: Callable[[Any], Any]
) -> None:
    with house_for_one(reference, make_bundle(), model_dir, serve_app, Readiness()) as client:
        long = {"messages": [{"role": "user", "content": "word " * 600}]}
        error = client.post(CHAT, json=long).json()["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
        almost = {"messages": [{"role": "user", "content": "word " * 470}], "temperature": 0}
        body = client.post(CHAT, json=almost).json()
        assert body["usage"]["total_tokens"] <= 512
