"""The same turn gets the same greedy answer from vLLM and from transformers, and both serve the same merged LLM."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from services.llm.settings import LlmSettings
from services.llm.spoken_turns import SpokenTurns
from textpro.bundle import Bundle
from textpro.config import Layout

WIDTH = 256
CHAT = "/v1/chat/completions"
CONVERSATIONS = [
    ["What is the capital of France?", "And of Spain?", "Which of the two is older?", "How far apart are they?"],
    ["Tell me about the sea.", "Why is it salty?", "Can I drink it?"],
    ["I lost my keys again.", "They are not in my coat.", "What would you do?"],
    ["Write a very long story about a dragon.", "Is it a friendly one?"],
    ["How many legs does a spider have?"],
    ["Please read me the news."],
    ["My sister is getting married on Saturday!"],
    ["What is seven plus eight?"],
    ["Why do leaves turn red in autumn, and when do they fall?"],
    ["Turn off the lights."],
    ["Give me three words that rhyme with day."],
    ["Good morning, how are you?"],
]
"""Twenty turns, all of them spoken."""


VECTORS = 12
"""A turn has one to so many, as if its words were so many Whisper tokens."""


def user(text: str, voice: np.random.Generator) -> dict[str, Any]:
    vectors = voice.normal(size=(int(voice.integers(1, VECTORS + 1)), WIDTH)).astype("<f2")
    data = base64.b64encode(vectors.tobytes()).decode()
    part = {"type": "prosody", "data": data, "shape": list(vectors.shape)}
    return {"role": "user", "content": [part, {"type": "text", "text": text}]}


def outcome(client: httpx.Client, request: dict[str, Any]) -> dict[str, Any]:
    """What is answered, why it ends, and how long prompt and answer are."""
    response = client.post(CHAT, json=request)
    assert response.status_code == 200, response.text
    body = response.json()
    choice, usage = body["choices"][0], body["usage"]
    counts = {name: usage[name] for name in ("prompt_tokens", "completion_tokens")}
    return {"text": choice["message"]["content"], "finish_reason": choice["finish_reason"], **counts}


@pytest.mark.vllm
@pytest.mark.parametrize("layout", ["global", "interleaved"])
def test_both_engines_answer_twenty_spoken_turns_alike(
    layout: Layout,
    make_bundle: Callable[..., Path],
    serve_bundle: Callable[[Path], Any],
    vllm_client: httpx.Client,
    model_dir: Path,
) -> None:
    path, voice, n_turns = make_bundle(layout), np.random.default_rng(20), 0
    turns = SpokenTurns.load(LlmSettings(bundle=str(path)), Bundle.load(path), model_dir)
    with serve_bundle(path) as transformers_client:
        for conversation in CONVERSATIONS:
            messages: list[dict[str, Any]] = []
            for text in conversation:
                messages.append(user(text, voice))
                request = {"messages": messages, "temperature": 0, "max_tokens": 16}
                expected = outcome(transformers_client, request)
                # The one vLLM of these tests serves a global bundle: what its middleware would do is done here.
                asked = request if layout == "global" else turns.project(request)[0]
                assert outcome(vllm_client, asked) == expected, text
                messages.append({"role": "assistant", "content": expected["text"]})
                n_turns += 1
    assert n_turns == 20


@pytest.mark.vllm
def test_both_processes_serve_the_llm_that_was_merged_once(
    vllm_client: httpx.Client, transformers_client: httpx.Client, merged: Path
) -> None:
    (adapted,) = (path for path in (merged / "adapted").iterdir() if path.is_dir())
    assert str(adapted) in (merged / "vllm.log").read_text()
    assert str(adapted) in (merged / "transformers.log").read_text()
    messages = [user("Tell me about the sea.", np.random.default_rng(1))]
    request = {"messages": messages, "temperature": 0, "max_tokens": 16}
    assert outcome(vllm_client, request) == outcome(transformers_client, request)
