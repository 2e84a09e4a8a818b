"""Train exactly what is served: an engine's prompt is the training sequence, position by position, in both layouts."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from peft import PeftModel

from services.gateway.encoder_client import Speech
from services.gateway.history import prompt
from services.gateway.session import Prosody, Turn
from services.llm.settings import LlmSettings
from services.llm.spoken_turns import SpokenTurns
from textpro.bundle import Bundle
from textpro.config import Layout
from textpro.projector import Projector
from textpro.prompt import Segment, n_positions, spoken

TRANSCRIPT = "What is the capital of France, and why is it so well known?"
QUESTION = "Answer in one sentence."
VECTORS = np.random.default_rng(5).normal(size=(9, 256)).astype("<f2")
LAYOUTS: list[Layout] = ["global", "interleaved"]


def request() -> dict[str, Any]:
    part = {"type": "prosody", "data": base64.b64encode(VECTORS.tobytes()).decode(), "shape": list(VECTORS.shape)}
    texts = [{"type": "text", "text": TRANSCRIPT}, {"type": "text", "text": QUESTION}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [part, *texts]}]
    return {"messages": messages, "temperature": 0, "max_tokens": 16}


def training_sequence(reference: Any, layout: Layout) -> list[Segment]:
    prosody = torch.from_numpy(VECTORS.astype(np.float32))
    content = spoken(prosody, TRANSCRIPT, layout=layout, ratio=5, tokenize=reference.template.tokenize)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [*content, QUESTION]}]
    return reference.template.sequence(messages)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_transformers_engine_sees_the_training_sequence(
    layout: Layout, reference: Any, make_bundle: Callable[..., Path], serve_bundle: Callable[[Path], Any]
) -> None:
    path = make_bundle(layout)
    segments = training_sequence(reference, layout)
    expected, _ = reference.greedy(segments, Projector.load(path / "projector.safetensors"), 16)
    with serve_bundle(path) as client:
        answer = client.post("/v1/chat/completions", json=request()).json()
    assert answer["usage"]["prompt_tokens"] == n_positions(segments)
    assert answer["choices"][0]["message"]["content"] == expected


@pytest.mark.vllm
@pytest.mark.parametrize("layout", LAYOUTS)
def test_vllm_sees_the_training_sequence(
    layout: Layout, reference: Any, make_bundle: Callable[..., Path], vllm_client: httpx.Client, model_dir: Path
) -> None:
    path = make_bundle(layout)
    segments = training_sequence(reference, layout)
    expected, log_probabilities = reference.greedy(segments, Projector.load(path / "projector.safetensors"), 16)
    asked = {**request(), "logprobs": True}
    if layout != "global":
        # The one vLLM of these tests serves a global bundle: what its middleware would do is done here.
        settings = LlmSettings(bundle=str(path))
        asked, state = SpokenTurns.load(settings, Bundle.load(path), model_dir).project(asked)
        assert state == "on"
    answer = vllm_client.post("/v1/chat/completions", json=asked).json()
    assert answer["usage"]["prompt_tokens"] == n_positions(segments)
    assert answer["choices"][0]["message"]["content"] == expected
    served = [token["logprob"] for token in answer["choices"][0]["logprobs"]["content"]]
    assert served == pytest.approx(log_probabilities[: len(served)], abs=5e-3)


def test_prosody_changes_the_answers_probabilities(reference: Any, make_bundle: Callable[..., Path]) -> None:
    projector = Projector.load(make_bundle() / "projector.safetensors")
    segments = training_sequence(reference, "global")
    _, heard = reference.greedy(segments, projector, 4)
    _, other = reference.greedy(segments, lambda rows: projector(-rows), 4)
    assert heard != pytest.approx(other, abs=1e-4)


def test_the_adapter_changes_the_answers_probabilities(reference: Any, adapted: PeftModel) -> None:
    segments = training_sequence(reference, "global")
    _, trained = reference.greedy(segments, lambda rows: torch.zeros(len(rows), 576), 4)
    with adapted.disable_adapter():
        _, other = reference.greedy(segments, lambda rows: torch.zeros(len(rows), 576), 4)
    assert trained != pytest.approx(other, abs=5e-2)  # ten times what the engines may differ by


def said(text: str, voice: int) -> Speech:
    vector = np.random.default_rng(voice).normal(size=(1, 256)).astype("<f2")
    prosody = Prosody(base64.b64encode(vector.tobytes()).decode(), (1, 256))
    return Speech(text, no_speech=None, prosody=prosody, audio_seconds=2.0)


@pytest.mark.vllm
def test_the_second_turn_of_a_spoken_conversation_is_read_from_vllms_prefix_cache(vllm_client: httpx.Client) -> None:
    def ask(messages: list[dict[str, Any]]) -> tuple[str, float]:
        """The answer, and how many of the prompt's tokens were in the cache."""
        before = hits(vllm_client)
        body = {"messages": messages, "temperature": 0, "max_tokens": 8}
        answer = vllm_client.post("/v1/chat/completions", json=body)
        assert answer.headers["x-textpro-prosody"] == "on"
        return answer.json()["choices"][0]["message"]["content"], hits(vllm_client) - before

    town = "Tell me all about the town that I come from: " + "its art, its food, its history and its music, " * 20
    reply, cached = ask(prompt("", [], said(town, voice=1)))
    assert cached == 0
    first = Turn("t_1", town, reply, said(town, voice=1).prosody, created_s=0.0)
    # On a CPU a block of the cache is 128 tokens, and the first turn is longer than one.
    assert ask(prompt("", [first], said("And who lives there?", voice=2)))[1] >= 128
    # The same words in another voice are another beginning.
    other = replace(first, prosody=said(town, voice=3).prosody)
    assert ask(prompt("", [other], said("And who lives there?", voice=2)))[1] == 0


def hits(client: httpx.Client) -> float:
    metrics = client.get("/metrics/", follow_redirects=True).text
    names = "vllm:prefix_cache_hits_total{"
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(names))
