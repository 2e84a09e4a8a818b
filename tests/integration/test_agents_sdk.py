"""OpenAI's JavaScript SDK in a browser with a recording for a microphone: spoken turns with the real services."""

import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.cli.demo import EXAMPLES
from tests.browser.agents_call import calling, site
from tests.browser.conftest import chromium_hearing
from tests.integration.conftest import Stack

__all__ = ["site"]  # a fixture of theirs
pytestmark = [
    pytest.mark.embedded,
    pytest.mark.anyio,
    pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed; `make programs` installs it"),
]
QUESTION = EXAMPLES / "capital.wav"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Any]:
    """Whose microphone hears one question each time it is opened, and then nothing."""
    async with chromium_hearing(f"{QUESTION}%noloop") as browser:
        yield browser


async def test_a_spoken_question_is_heard_and_answered(stack: Stack, chromium: Any, site: str) -> None:
    async with calling(chromium, site, str(stack.client.base_url), detection="server_vad") as caller:
        await caller.run("caller.listen()")
        await caller.until("caller.count('response.done') && caller.history[0].content[0].transcript")
        asked, answered = await caller.run("caller.history")
        (done,) = await caller.events("response.done")
        words = "".join(await caller.run("caller.deltas"))
    assert (asked["role"], answered["role"]) == ("user", "assistant")
    assert "capital of France" in asked["content"][0]["transcript"]
    assert answered["content"][0]["text"] == words
    assert "Paris" in words
    assert (done["response"]["status"], done["response"]["prosody"]) == ("completed", "on")


async def test_speech_over_an_answer_ends_it_and_is_answered(stack: Stack, chromium: Any, site: str) -> None:
    async with calling(chromium, site, str(stack.client.base_url), detection="semantic_vad") as caller:
        await caller.run("caller.type('Write a long story about a ship.')")
        await caller.until("caller.deltas.length")
        await caller.run("caller.listen()")
        await caller.until("caller.count('response.done') == 2")
        broken, whole = [event["response"] for event in await caller.events("response.done")]
        history = await caller.run("caller.history")
    assert (broken["status"], broken["status_details"]["reason"]) == ("cancelled", "turn_detected")
    assert whole["status"] == "completed"
    assert [item["role"] for item in history] == ["user", "assistant", "user", "assistant"]
    assert history[1]["status"] == "incomplete"
    assert "capital of France" in history[2]["content"][0]["transcript"]
    assert history[3]["content"][0]["text"]
