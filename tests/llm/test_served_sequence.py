"""Train exactly what is served: an engine's prompt is the training sequence, position by position, in both layouts."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

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


@pytest.mark.vllm
def test_vllm_reuses_the_prefix_of_a_spoken_history(vllm_client: httpx.Client) -> None:
    def hits() -> float:
        metrics = vllm_client.get("/metrics/", follow_redirects=True).text
        names = "vllm:prefix_cache_hits_total{"
        return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(names))

    asked = request()
    asked["messages"][1]["content"][1]["text"] = TRANSCRIPT + " Think of art, food, history and music. " * 20
    vllm_client.post("/v1/chat/completions", json=asked)
    before = hits()
    said = {"role": "assistant", "content": "Paris."}
    asked["messages"] += [said, {"role": "user", "content": "And Spain?"}]
    vllm_client.post("/v1/chat/completions", json=asked)
    assert hits() - before > 128
